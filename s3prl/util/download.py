"""Downloads by the import path of the public S3PRL, `s3prl.util.download`: its hubconf files use it."""

from s3prl.utility.download import _urls_to_filepaths, set_dir, urls_to_filepaths

__all__ = ["_urls_to_filepaths", "set_dir", "urls_to_filepaths"]
