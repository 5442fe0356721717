#!/usr/bin/env bash
# Installs what `make bench` compares with into a Python of its own, $SSLCTL_TOOLS/peers (default ~/.cache/sslctl-tools/peers), once: PyTorch, NumPy with its
# OpenBLAS, Pillow. From PyPI where that can be reached (540 MB, and as much again for what the wheel of PyTorch insists on), else from Debian.
set -euo pipefail

tools=${SSLCTL_TOOLS:-$HOME/.cache/sslctl-tools}
peers=$tools/peers
packages=(torch==2.15.0 numpy==2.4.6 pillow==12.3.0)

if [ -x "$peers/bin/python" ] && [ "$(cat "$peers/.packages" 2>/dev/null)" = "${packages[*]}" ]; then
	exit 0
fi

from_pypi() {
	python3 -m venv "$peers" && "$peers/bin/python" -m pip install -q --disable-pip-version-check "${packages[@]}"
}

from_debian() {
	local sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update -q
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends python3 python3-torch python3-numpy python3-pil libopenblas0-pthread
	/usr/bin/python3 -m venv --system-site-packages --without-pip "$peers"
}

rm -rf "$peers"
echo "peers: installing ${packages[*]}"
if ! from_pypi; then
	rm -rf "$peers"
	echo "peers: no wheels for this Python or no PyPI; installing Debian's packages"
	from_debian
fi
"$peers/bin/python" -c 'import torch, numpy, PIL'
echo "${packages[*]}" >"$peers/.packages"
echo "peers: ready in $peers"
