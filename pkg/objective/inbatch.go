package objective

import (
	"sync"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// InBatch is InfoNCE whose negatives are the keys of the batch's other samples (Chen, Xie and He, "An empirical study of training
// self-supervised vision transformers", ICCV 2021, Algorithm 1), for unit queries q (n, d), whose positives are rows lo, lo+1 … of the unit
// keys (B, d). Keys get no gradient:
//
//	Lᵢ = log Σⱼ e^{sᵢⱼ} − sᵢ₊,  ∂Lᵢ/∂qᵢ = (Σⱼ pᵢⱼ·kⱼ − k₊)/τ
//
// It writes the losses and the cosines of the positives, (n) each, and the gradient times scale, dq (n, d).
func InBatch(dq, losses, cosines, q, keys []float32, lo, d int, tau, scale float32) {
	all := bankParts.Get().(*BankPart)
	defer bankParts.Put(all)
	all.M, all.L, all.O = losses, cosines, dq // of the same sizes, and read before they are overwritten
	all.Compute(q, keys, d, tau)
	for i, l := range all.L {
		positive, row := keys[(lo+i)*d:(lo+i+1)*d], dq[i*d:(i+1)*d]
		cosines[i] = simd.Dot(q[i*d:(i+1)*d], positive)
		losses[i] = float32(float64(all.M[i]) - float64(cosines[i])/float64(tau) + keyed.Log(float64(l)))
		simd.Scale(row, 1/l)
		simd.Axpy(row, -1, positive)
		simd.Scale(row, scale/tau)
	}
	all.M, all.L, all.O = nil, nil, nil
}

var bankParts = sync.Pool{New: func() any { return new(BankPart) }}
