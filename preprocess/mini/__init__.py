"""Every corpus in miniature, synthesised: real layouts and formats, small enough to train on in minutes.

A module of this folder is a *recipe* when it has

- `NAME`: the word that selects it on the command line of `preprocess/make_mini_corpora.py`;
- `FOLDER`: the folder it fills below `--output`, named as the real corpus names it;
- `VERSION`: an integer, raised whenever the same settings would give other files;
- `next_command(folder) -> str`: what to run with the corpus in that folder;
- `add_options(parser)`: adds its own options, each with a default and a help sentence;
- `make(folder, seed, n_jobs, **options) -> dict`: fills an empty folder and returns, for each split, a
  dict of `utterances`, `speakers` and `hours`. The bytes may depend on the seed and the options only.

Its docstring is the help text. Dropping a recipe into this folder is all it takes to add a corpus.
"""
