"""What people and programs touch: the front door, the API, the console, the command line, the worker."""
