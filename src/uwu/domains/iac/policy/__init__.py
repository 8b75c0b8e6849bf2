"""Policy: rules over what a Terraform plan would do, in Python or in Cedar; exemptions are the kernel's.

``model`` holds the nouns, ``shipped`` the rules that come with uwu, ``cedar`` those that are written in Cedar,
``files`` those that a home or a repository brings, ``check`` the judging.
"""
