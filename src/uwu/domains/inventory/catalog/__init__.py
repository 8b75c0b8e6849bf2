"""Every operation of AWS that lists something, generated from botocore's models, and the types made of them."""
