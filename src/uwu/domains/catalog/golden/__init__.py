"""The golden path: a new service begins as a folder that holds all that is asked of one."""
