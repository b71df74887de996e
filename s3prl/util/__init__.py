"""The folder `util` of the public S3PRL, as far as plug-ins import it; the code lives in `utility`."""
