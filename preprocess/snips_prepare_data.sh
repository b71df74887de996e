#!/usr/bin/env bash
# Prepare Audio SNIPS for slot filling (see prepare_snips.py beside this file, whose options follow the folder):
#
#   ./preprocess/snips_prepare_data.sh /my/corpora --annotations FOLDER --audio audio_slu_v3.zip

exec "${PYTHON:-python3}" "$(dirname -- "$0")/prepare_snips.py" "$@"
