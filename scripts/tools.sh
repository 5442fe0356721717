#!/usr/bin/env bash
# Installs what the tests need and go.mod does not bring: a C compiler for -race, the full Fashion-MNIST set and servers and checkers at pinned versions.
# Everything built lands in $SSLCTL_TOOLS (default ~/.cache/sslctl-tools) and is built once: later calls find its stamp. The first takes about 15 minutes on two cores,
# almost all of it MinIO and kube-apiserver.
set -euo pipefail

tools=${SSLCTL_TOOLS:-$HOME/.cache/sslctl-tools}
bin=$tools/bin
mkdir -p "$bin"

need_packages() {
	local missing=()
	command -v gcc >/dev/null || missing+=(gcc libc6-dev)
	[ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] || missing+=(dataset-fashion-mnist)
	command -v etcd >/dev/null || missing+=(etcd-server)
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

# kube_apiserver: the API server of Kubernetes in the version that scripts/kube-apiserver/go.mod pins; its stamp is that module's content.
kube_apiserver() {
	local module stamp=$bin/.kube-apiserver.version content version
	module=$(cd "$(dirname "$0")/kube-apiserver" && pwd)
	content=$(cat "$module/go.mod" "$module/go.sum" | sha256sum)
	if [ -x "$bin/kube-apiserver" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$content" ]; then
		return
	fi
	version=$(cd "$module" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
	echo "tools: building kube-apiserver $version"
	local info=k8s.io/component-base/version major minor
	IFS=. read -r major minor _ <<<"${version#v}"
	(cd "$module" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$bin/kube-apiserver" \
		-ldflags "-s -w -X $info.gitVersion=$version -X $info.gitMajor=$major -X $info.gitMinor=$minor" k8s.io/kubernetes/cmd/kube-apiserver)
	echo "$content" >"$stamp"
}

need_packages
go_tool staticcheck honnef.co/go/tools/cmd/staticcheck@v0.8.2
go_tool nats-server github.com/nats-io/nats-server/v2@v2.15.2
go_tool minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
go_tool kustomize sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
kube_apiserver
echo "tools: ready in $bin"
