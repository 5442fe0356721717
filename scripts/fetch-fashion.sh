#!/usr/bin/env bash
# Finds the full Fashion-MNIST (60,000 + 10,000 images), checks it and prints its folder on stdout.
#   fetch-fashion.sh          installs Debian's package dataset-fashion-mnist if need be; without root, unpacks it below $SSLCTL_TOOLS
#   fetch-fashion.sh FOLDER   checks the four files in FOLDER
set -euo pipefail

system=/usr/share/datasets/fashion-mnist
package=dataset-fashion-mnist

check() { # all four files of a folder are there and right
	(cd "$1" && sha256sum --check --strict --quiet) <<-'SUMS'
		b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7  train-images-idx3-ubyte.gz
		0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056  train-labels-idx1-ubyte.gz
		cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa  t10k-images-idx3-ubyte.gz
		8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05  t10k-labels-idx1-ubyte.gz
	SUMS
}

unpack() { # without root: the package's files, below a folder of ours
	local target=$1 work
	mkdir -p "$target"
	work=$(mktemp -d "$target/unpack.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	(cd "$work" && apt-get download "$package" && dpkg-deb -x "$package"_*.deb .) >&2
	mv -f "$work$system"/*.gz "$target/"
}

if [ $# -gt 1 ]; then
	echo "usage: fetch-fashion.sh [FOLDER]" >&2
	exit 2
fi
folder=${1:-$system}
if [ $# -eq 0 ] && [ ! -e "$folder/train-images-idx3-ubyte.gz" ]; then
	if ! command -v apt-get >/dev/null; then
		echo "fetch-fashion.sh: there is no apt-get; fetch the four files of Fashion-MNIST by other means and name their folder" >&2
		exit 1
	fi
	if [ "$(id -u)" = 0 ]; then
		apt-get install -y --no-install-recommends "$package" >&2 || { apt-get update >&2 && apt-get install -y --no-install-recommends "$package" >&2; }
	else
		folder=${SSLCTL_TOOLS:-$HOME/.cache/sslctl-tools}/fashion-mnist
		[ -e "$folder/train-images-idx3-ubyte.gz" ] || unpack "$folder"
	fi
fi
if ! check "$folder" >&2; then
	echo "fetch-fashion.sh: $folder does not hold Fashion-MNIST as it was published; remove what is wrong there and run again" >&2
	exit 1
fi
echo "$folder"
