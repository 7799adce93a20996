"""Getting a machine ready: what the manifest names is fetched, checked and put in its place.

Only Python's standard library is used, because this runs before anything else is installed: `provisioning/vast.sh` starts this folder
with whatever Python there is, and the command `visionsmith models` is the same code.
"""
