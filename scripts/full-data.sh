#!/usr/bin/env bash
# Packs the whole of Fashion-MNIST (60,000 + 10,000 images) as WebDataset shards: full-data.sh SSLCTL FOLDER. What is there already stays.
set -euo pipefail
sslctl=$1 out=$2
if [ -e "$out/.complete" ]; then
	exit 0
fi
from=$(bash "$(dirname "$0")/fetch-fashion.sh")
rm -rf "$out"
mkdir -p "$out"
"$sslctl" dataset pack "$from/train-images-idx3-ubyte.gz" "$out" --name train --samples-per-shard 2500
"$sslctl" dataset pack "$from/t10k-images-idx3-ubyte.gz" "$out" --name test --samples-per-shard 2500
touch "$out/.complete"
