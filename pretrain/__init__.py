"""Pre-training: one folder for each method, and the runner that trains any of them."""

from s3prl.utility.plugins import mount_inherited

mount_inherited(__name__)
