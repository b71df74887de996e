"""Entry points for torch.hub: `torch.hub.load(repo, 'fbank')` builds any upstream by name."""

from s3prl import hub as _hub

dependencies = ["torch", "numpy", "yaml"]

globals().update({_name: _hub.get(_name) for _name in _hub.options()})
