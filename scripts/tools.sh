#!/usr/bin/env bash
# Installs what the tests need and go.mod does not bring: a C compiler for -race, the full Fashion-MNIST set and servers and checkers at pinned versions.
# Everything built lands in $SSLCTL_TOOLS (default ~/.cache/sslctl-tools) and is built once: later calls find its stamp. The first takes about 8 minutes on two cores,
# almost all of it MinIO.
set -euo pipefail

tools=${SSLCTL_TOOLS:-$HOME/.cache/sslctl-tools}
bin=$tools/bin
mkdir -p "$bin"

need_packages() {
	local missing=()
	command -v gcc >/dev/null || missing+=(gcc libc6-dev)
	[ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] || missing+=(dataset-fashion-mnist)
	[ ${#missing[@]} -gt 0 ] || return 0
	local sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	echo "tools: installing Debian packages: ${missing[*]}"
	$sudo apt-get update -q
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# go_tool BINARY MODULE@VERSION: installs it unless the stamp says that this very version is there.
go_tool() {
	local stamp=$bin/.$1.version
	if [ -x "$bin/$1" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$2" ]; then
		return
	fi
	echo "tools: building $2"
	# Outside the module, so that its go.mod neither decides versions nor changes.
	(cd "$tools" && GOBIN=$bin GOFLAGS=-buildvcs=false CGO_ENABLED=0 go install "$2")
	echo "$2" >"$stamp"
}

need_packages
go_tool staticcheck honnef.co/go/tools/cmd/staticcheck@v0.8.2
go_tool nats-server github.com/nats-io/nats-server/v2@v2.15.2
go_tool minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
echo "tools: ready in $bin"
