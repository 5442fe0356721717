#!/usr/bin/env bash
# Finds the full Fashion-MNIST (60,000 + 10,000 images), checks it and prints its folder on stdout.
#   fetch-fashion.sh          installs Debian's package dataset-fashion-mnist if need be; without root, unpacks it below $SSLCTL_TOOLS
#   fetch-fashion.sh FOLDER   checks the four files in FOLDER
set -euo pipefail

system=/usr/share/datasets/fashion-mnist
package=dataset-fashion-mnist

check() { # all four files of a folder are there and hold what was published; how well they are compressed does not matter
	local want name got ok=0
	while read -r want name; do
		got=$(gzip -dc "$1/$name" | sha256sum | cut -d' ' -f1) || got=unreadable
		if [ "$got" != "$want" ]; then
			echo "fetch-fashion.sh: SHA-256 of the contents of $1/$name is $got; expected $want" >&2
			ok=1
		fi
	done <<-'SUMS'
		c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888 train-images-idx3-ubyte.gz
		bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9 train-labels-idx1-ubyte.gz
		5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b t10k-images-idx3-ubyte.gz
		0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34 t10k-labels-idx1-ubyte.gz
	SUMS
	return $ok
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
if ! check "$folder"; then
	echo "fetch-fashion.sh: $folder does not hold Fashion-MNIST; remove what is wrong there and run again" >&2
	exit 1
fi
echo "$folder"
