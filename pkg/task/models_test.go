package task_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/sslctl/sslctl/pkg/allreduce"
	"github.com/sslctl/sslctl/pkg/allreduce/allreducetest"
	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/nn"
	"github.com/sslctl/sslctl/pkg/simd"
	"github.com/sslctl/sslctl/pkg/task"
	"golang.org/x/sync/errgroup"
	"gorgonia.org/tensor"
)

// modelRanks and modelMicroBatch are small: the models are not.
const modelRanks, modelMicroBatch = 2, 2

// Every large model trains, and to the same bits on one worker and on two.
func TestEveryModelTrainsToTheSameBits(t *testing.T) {
	for name, projector := range map[string]nn.Projector{
		"resnet18": {Hidden: 16, Out: 8, BatchNorm: true},
		"resnet50": {Hidden: 16, Out: 8, BatchNorm: true},
		"vit-tiny": {Hidden: 16, Out: 8}, // no batch norm at all
	} {
		t.Run(name, func(t *testing.T) {
			options := nn.Options{InH: side, InW: side, InC: 1, Projector: &projector}
			if name == "vit-tiny" {
				options.Dropout = nn.Dropout{Attention: 0.1, Projection: 0.1, Position: 0.1, Path: 0.5}
			}
			start, err := nn.New(name, options, keyed.New(3))
			if err != nil {
				t.Fatal(err)
			}
			one, two := trainModel(t, start, 1), trainModel(t, start, 2)
			if !bytes.Equal(bits(one.Params().Data), bits(two.Params().Data)) || !bytes.Equal(bits(one.Running().Data), bits(two.Running().Data)) {
				t.Error("two workers end with other bits than one")
			}
			if sum := simd.Sum(one.Params().Data); sum != sum {
				t.Error("the parameters are not finite")
			}
			if bytes.Equal(bits(one.Params().Data), bits(start.Params().Data)) {
				t.Error("training changed nothing")
			}
		})
	}
}

// bits views numbers as bytes: comparing millions of them one by one takes the race detector seconds.
func bits(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// trainModel trains a copy of the model for two steps on each of some workers and returns that of the first.
func trainModel(t *testing.T, start *nn.Model, workers int) *nn.Model {
	t.Helper()
	network := &allreducetest.Network{}
	models := make([]*nn.Model, workers)
	group, ctx := errgroup.WithContext(t.Context())
	for rank := range workers {
		models[rank] = start.Clone()
		group.Go(func() error {
			ring, err := allreduce.NewGroup(allreduce.Config{Rank: rank, World: workers, VirtualRanks: modelRanks, JobUID: "1", Generation: 1, DetectWithin: time.Minute}, network.Transport(rank))
			if err != nil {
				return err
			}
			defer ring.Close()
			if err := ring.Join(ctx); err != nil {
				return err
			}
			return trainModelOn(ctx, models[rank], ring)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return models[0]
}

func trainModelOn(ctx context.Context, m *nn.Model, ring *allreduce.Group) error {
	lo, hi := ring.Owned()
	made, err := task.New(task.Config{Name: "simclr", Loss: "ntxent", Temperature: 0.2},
		task.Environment{Model: m, VirtualRanks: modelRanks, Lo: lo, Hi: hi, GlobalBatch: modelRanks * modelMicroBatch, Key: keyed.New(3)})
	if err != nil {
		return err
	}
	trained := made.Trained()[0]
	for step := range uint64(2) {
		ring.SetStep(step)
		if _, err := made.Step(ctx, ring, step, modelViews(step, lo, hi), func(ctx context.Context, _ ...string) error {
			total, err := ring.Sum(ctx, trained.Grads)
			if err != nil {
				return err
			}
			simd.Axpy(trained.Parameters.Data, -0.01, total.Float32s())
			return nil
		}); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}

// modelViews are the micro-batches of virtual ranks [lo, hi).
func modelViews(step uint64, lo, hi int) []task.Batch {
	var out []task.Batch
	for v := lo; v < hi; v++ {
		b := task.Batch{VirtualRank: v, Fields: map[string]*tensor.Dense{}}
		for i := range modelMicroBatch {
			b.Positions = append(b.Positions, step*modelRanks*modelMicroBatch+uint64(v*modelMicroBatch+i))
		}
		for _, name := range []string{"view1", "view2"} {
			pixels := make([]float32, modelMicroBatch*side*side)
			for i := range pixels {
				pixels[i] = float32(keyed.New(9).For(name).At(step, uint64(v)).Normal(uint64(i)))
			}
			b.Fields[name] = tensor.New(tensor.WithShape(modelMicroBatch, side, side, 1), tensor.WithBacking(pixels))
		}
		out = append(out, b)
	}
	return out
}
