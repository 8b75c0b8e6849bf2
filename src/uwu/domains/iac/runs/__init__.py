"""Runs: Terraform is planned and applied in a working folder of its own, approved by the kernel's plans.

``store`` keeps them, ``config`` brings a stack's configuration, ``sandbox`` runs programs, ``backend`` is the state as
one run sees it, ``tools`` are Terraform and git within a phase, ``execute`` plans and applies,
``planner`` is how the kernel approves, applies and proves it.
"""
