#!/usr/bin/env bash
# Packs the shipped Fashion-MNIST images (examples/data/fashion-mnist) as WebDataset shards: demo-data.sh SSLCTL FOLDER. What is there already stays.
set -euo pipefail
sslctl=$1 out=$2
from=$(cd "$(dirname "$0")/.." && pwd)/examples/data/fashion-mnist
if [ -e "$out/.complete" ]; then
	exit 0
fi
rm -rf "$out"
mkdir -p "$out"
"$sslctl" dataset pack "$from/train-images-idx3-ubyte.gz" "$out" --name fashion-train --samples-per-shard 1000
"$sslctl" dataset pack "$from/test-images-idx3-ubyte.gz" "$out" --name fashion-test --samples-per-shard 1000
touch "$out/.complete"
