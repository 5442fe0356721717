package nn

// normGroups is the number of channel groups of a group norm, as its authors have it; fewer channels are one group each.
const normGroups = 32

// groupNorm adds a norm of each sample by itself, channel group by channel group (Wu and He, "Group normalization", ECCV 2018). It has no running
// statistics and does the same in training and evaluation.
func (b *builder) groupNorm(name string, rows, channels int) *norm {
	return b.affineNorm(name, rows, channels, channels/min(normGroups, channels))
}
