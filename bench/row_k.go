package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// rings is row k: sums of gradients between four processes, each beside gloo in the same run, as bench/ring measures them.
func (b *bench) rings(ctx context.Context) (figures []figure, err error) {
	hasPeer := b.python(ctx, "serve.py") // only for its environment
	hasPeer.Args = []string{hasPeer.Args[0], "-c", "import torch.distributed"}
	hasPeer.Stderr = nil
	peer := hasPeer.Run() == nil
	for _, r := range []struct {
		id, lane, wire string
		megabytes      int
		bar            float64
	}{
		{"k.nats64", "nats", "int32", 64, 1.2},
		{"k.nats16", "nats", "int32", 16, 1.35},
		{"k.direct64", "direct", "int32", 64, 1.1},
		{"k.direct16", "direct", "int32", 16, 1.1},
		{"k.int16", "nats", "int16", 64, 0.8},
		{"k.int16.direct", "direct", "int16", 64, 0.8},
	} {
		cmd := exec.CommandContext(ctx, filepath.Join(b.root, "bin", "ring"),
			"-ranks", "4", "-bytes", fmt.Sprint(r.megabytes<<20), "-lane", r.lane, "-wire", r.wire, "-rounds", fmt.Sprint(2*b.rounds+1))
		cmd.Env, cmd.Stderr = hasPeer.Env, os.Stderr
		f := figure{
			ID: r.id, Work: fmt.Sprintf("all-reduce of %d MB, 4 processes, %s over %s", r.megabytes, r.wire, r.lane), PeerName: missing{"torch"}.Error(), Unit: "ms",
			bar: ratioBar(r.bar),
		}
		if peer {
			cmd.Args = append(cmd.Args, "-peer", b.interpreter+" "+filepath.Join(b.peers, "allreduce.py"))
			f.PeerName = "torch gloo, float32"
		}
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("run %s (make builds it): %w", cmd.Path, err)
		}
		var measured struct {
			MS     float64 `json:"ms"`
			PeerMS float64 `json:"peer_ms"`
		}
		if err := json.Unmarshal(out, &measured); err != nil {
			return nil, fmt.Errorf("%s printed %q: %w", cmd.Path, out, err)
		}
		f.Ours = measured.MS
		if peer {
			f.against(measured.PeerMS, measured.MS/measured.PeerMS)
		}
		figures = append(figures, f)
	}
	return figures, nil
}
