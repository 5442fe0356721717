// Package jobspec is the job file: its fields, their defaults, and what makes one valid. It is strict: whatever it does not understand
// is an error that names file, line and column, and it reports all errors of a file at once.
//
// The comments and tags of the structs in this file are the reference of the job file: docs/job.md is generated from them.
package jobspec

//go:generate go run ./gen -out ../../docs/job.md

import "time"

// APIVersion is the version of the job file that this package reads.
const APIVersion = "sslctl.io/v1alpha1"

// Kind is the kind of the only document that a job file holds.
const Kind = "PretrainJob"

// Tags of a field, all but yaml optional:
//
//	yaml      its name in the file
//	default   its value when it is absent, as YAML
//	derived   in words, what an absent field is computed from
//	required  "true": absence is an error
//	range     interval of a number or of each number of a list: "[1,64]", "(0,1]", "[1,)"
//	enum      the values allowed, separated by commas; "@models", "@tasks" and "@losses" (of any task) stand for the tables in names.go
//	len       number of elements of a list
//	unit      what a number counts
//	only      "field=value|value": the field has a meaning only beside one of those values of its neighbour; "@tasks" stands for the
//	          names of the tasks that have the field, by the table in names.go

// Job is one job file.
type Job struct {
	// Version of the job file's format.
	APIVersion string `yaml:"apiVersion" required:"true" enum:"sslctl.io/v1alpha1"`
	// What the file describes.
	Kind string `yaml:"kind" required:"true" enum:"PretrainJob"`
	// How the job is called.
	Metadata Metadata `yaml:"metadata"`
	// What the job does.
	Spec Spec `yaml:"spec"`
}

// Metadata names a job.
type Metadata struct {
	// Name of the job, unique among the jobs that have not ended: at most 63 lower-case letters, digits and hyphens, beginning and
	// ending with a letter or digit (a DNS label).
	Name string `yaml:"name" required:"true"`
	// Free key-value pairs. They are shown and stored, nothing else.
	Labels map[string]string `yaml:"labels"`
}

// Spec says what a job does.
type Spec struct {
	// Jobs that wait are placed in descending priority, then in order of submission.
	Priority int `yaml:"priority" default:"0" range:"[-1000,1000]"`
	// How many workers take part.
	Workers Workers `yaml:"workers"`
	// What is trained on.
	Dataset Dataset `yaml:"dataset"`
	// How a view is made from a sample, in this order, each with its own keyed draws: a list of maps with one key each.
	Transforms []Transform `yaml:"transforms"`
	// The network.
	Model Model `yaml:"model"`
	// The objective.
	Task Task `yaml:"task"`
	// How gradients become updates.
	Optimizer Optimizer `yaml:"optimizer"`
	// Length, batch and randomness of the run. These fields, with the data, fix the result to the bit.
	Training Training `yaml:"training"`
	// How gradients are summed across workers.
	Sync Sync `yaml:"sync"`
	// When a worker counts as lost, and how far training runs ahead of the coordinators.
	FaultTolerance FaultTolerance `yaml:"faultTolerance"`
	// Where and when the state is stored.
	Checkpoint Checkpoint `yaml:"checkpoint"`
	// How the encoder is measured during the run and at its end. Without it nothing is measured.
	Evaluate *Evaluate `yaml:"evaluate"`
}

// Workers bounds how many workers take part. Any number within gives the same bits.
type Workers struct {
	// The job waits until so many workers are free.
	Min int `yaml:"min" default:"1" range:"[1,64]"`
	// More than so many are not used.
	Max int `yaml:"max" derived:"training.virtualRanks" range:"[1,64]"`
	// Labels that a worker must have to take part, all of them, with these values: those of sslctl worker --label. Without it any worker may.
	Selector map[string]string `yaml:"selector"`
}

// Source is a place that data is read from.
type Source struct {
	// Tar shards in WebDataset layout: s3://bucket/key or file:///path, with brace ranges ({000..009}), brace lists ({a,b}) and globs
	// (* and ?). A relative path (file://data/x.tar) is resolved against the folder in which the job is submitted.
	URI    string `yaml:"uri" required:"true"`
	Access `yaml:",inline"`
}

// Access says how a URI is reached.
type Access struct {
	// Address of the S3 server as http://host:port or https://host:port. Only with s3://. Empty: the worker's AWS_ENDPOINT_URL_S3 or
	// AWS_ENDPOINT_URL, else Amazon S3.
	Endpoint string `yaml:"endpoint"`
	// Region of the bucket. Only with s3://. Empty: the worker's AWS_REGION or AWS_DEFAULT_REGION, else us-east-1.
	Region string `yaml:"region"`
	// Credentials. Only with s3://. Without it: the worker's AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else anonymous access.
	SecretRef *SecretRef `yaml:"secretRef"`
}

// SecretRef names credentials. The job file never holds them; each worker finds them in the files accessKey and secretKey of the
// folder $SSLCTL_SECRETS_DIR/NAME, or in the environment as SSLCTL_SECRET_NAME_ACCESS_KEY and SSLCTL_SECRET_NAME_SECRET_KEY (name in
// upper case, hyphens as underscores).
type SecretRef struct {
	// Name of the secret: a DNS label.
	Name string `yaml:"name" required:"true"`
}

// Dataset is what is trained on.
type Dataset struct {
	Source `yaml:",inline"`
	// Samples of each virtual rank's stream within which the order is shuffled. Larger mixes better; smaller reads with more locality. 0:
	// about 64 MiB of samples, from 64 to 4,096.
	Window int `yaml:"window" default:"0" range:"[0,16777216]" unit:"samples"`
	// Samples that may turn out undecodable before the job fails. Each one is replaced by the next good one and named in the ledger.
	MaxCorrupt int `yaml:"maxCorrupt" default:"0" range:"[0,)" unit:"samples"`
}

// Transform is one step from a sample to a view. Exactly one field is set.
type Transform struct {
	// Cuts a random box out of the image and scales it to a square, bilinearly.
	RandomResizedCrop *RandomResizedCrop `yaml:"randomResizedCrop"`
	// Mirrors the image left to right.
	Flip *Flip `yaml:"flip"`
	// Changes gamma, contrast and brightness, in this order, each by its own draw, then clamps to [0, 1].
	Jitter *Jitter `yaml:"jitter"`
	// Sets a random box to 0.
	Erase *Erase `yaml:"erase"`
	// Adds Gaussian noise.
	Noise *Noise `yaml:"noise"`
	// Subtracts the mean and divides by the standard deviation, by channel. Must come last.
	Normalize *Normalize `yaml:"normalize"`
}

// RandomResizedCrop cuts a random box and scales it.
type RandomResizedCrop struct {
	// Height and width of the result; must equal model.image.
	Size int `yaml:"size" derived:"model.image.height" range:"[1,4096]" unit:"pixels"`
	// Bounds of the box's share of the image's area, drawn uniformly.
	Area []float64 `yaml:"area" default:"[0.3, 1]" len:"2" range:"(0,1]"`
	// Bounds of the box's width/height, drawn uniformly in the logarithm.
	Ratio []float64 `yaml:"ratio" default:"[0.75, 1.3333]" len:"2" range:"[0.01,100]"`
}

// Flip mirrors the image.
type Flip struct {
	// How often.
	Probability float64 `yaml:"probability" default:"0.5" range:"[0,1]"`
}

// Jitter changes intensities.
type Jitter struct {
	// b: the image is multiplied by a number from [1-b, 1+b].
	Brightness float64 `yaml:"brightness" default:"0" range:"[0,1]"`
	// c: distances from the image's mean are multiplied by a number from [1-c, 1+c].
	Contrast float64 `yaml:"contrast" default:"0" range:"[0,1]"`
	// g: intensities are raised to the power exp(u), u from [-g, g].
	Gamma float64 `yaml:"gamma" default:"0" range:"[0,3]"`
	// How often.
	Probability float64 `yaml:"probability" default:"1" range:"[0,1]"`
}

// Erase blanks a box.
type Erase struct {
	// How often.
	Probability float64 `yaml:"probability" default:"0.5" range:"[0,1]"`
	// Bounds of the box's share of the image's area, drawn uniformly.
	Area []float64 `yaml:"area" default:"[0.02, 0.33]" len:"2" range:"(0,1]"`
}

// Noise adds Gaussian noise.
type Noise struct {
	// Standard deviation, where intensities go from 0 to 1.
	Std float64 `yaml:"std" required:"true" range:"[0,10]"`
}

// Normalize shifts and scales by channel.
type Normalize struct {
	// Mean of each channel: as many numbers as model.image.channels.
	Mean []float64 `yaml:"mean" required:"true" range:"[-1000,1000]"`
	// Standard deviation of each channel: as many numbers as model.image.channels.
	Std []float64 `yaml:"std" required:"true" range:"(0,1000]"`
}

// Model is the network.
type Model struct {
	// Which encoder.
	Name string `yaml:"name" required:"true" enum:"@models"`
	// What comes before the residual blocks: cifar, a 3×3 convolution that keeps the size of small images; imagenet, a 7×7 convolution and
	// a maximum that quarter it.
	Stem string `yaml:"stem" default:"cifar" enum:"cifar,imagenet" only:"name=resnet18|resnet50"`
	// Norm of the residual blocks: batch, each channel over a virtual rank's samples; group, each sample by itself in 32 groups of channels,
	// which leaves nothing of the other samples in an embedding and takes virtual ranks of one sample.
	Norm string `yaml:"norm" default:"batch" enum:"batch,group" only:"name=resnet-tiny|resnet18|resnet50"`
	// Side of the square patches that become tokens; it divides model.image.height and width.
	Patch int `yaml:"patch" default:"4" range:"[1,1024]" unit:"pixels" only:"name=vit-tiny"`
	// What training leaves out at random, with the rates of timm's vision transformers; what stays is scaled up. The draws come from the job's seed.
	Dropout Dropout `yaml:"dropout" only:"name=vit-tiny"`
	// What the encoder sees.
	Image Image `yaml:"image"`
	// The head that the objective sees. It is not exported.
	Projector Projector `yaml:"projector"`
}

// Dropout is what training leaves out at random.
type Dropout struct {
	// Share of the weights that attention gives tokens: timm's attn_drop_rate.
	Attention float64 `yaml:"attention" default:"0" range:"[0,1)"`
	// Share of the elements behind attention's projection and both layers of each MLP: timm's proj_drop_rate.
	Projection float64 `yaml:"projection" default:"0" range:"[0,1)"`
	// Share of the elements of the tokens with their positions: timm's pos_drop_rate.
	Position float64 `yaml:"position" default:"0" range:"[0,1)"`
	// Share of the samples that skip both halves of the last block, rising to it from 0 at the first (stochastic depth): timm's drop_path_rate.
	Path float64 `yaml:"path" default:"0" range:"[0,1)"`
}

// Image is the shape of the encoder's input.
type Image struct {
	// Rows.
	Height int `yaml:"height" default:"28" range:"[8,1024]" unit:"pixels"`
	// Columns.
	Width int `yaml:"width" default:"28" range:"[8,1024]" unit:"pixels"`
	// 1 for grey, 3 for RGB.
	Channels int `yaml:"channels" default:"1" enum:"1,3"`
}

// Projector is the head that the objective sees.
type Projector struct {
	// Width of the hidden layers.
	Hidden int `yaml:"hidden" default:"128" range:"[1,65536]"`
	// Width of the embedding: what the bank stores for each negative. Barlow Twins and VICReg gain from a wide one; they hold its square
	// for each virtual rank, and send it.
	Out int `yaml:"out" default:"64" range:"[2,8192]"`
	// Batch norm after each hidden layer. MoCo and instance discrimination collapse without it, BYOL and SimSiam are likely to; SimCLR does well without.
	BatchNorm bool `yaml:"batchNorm" default:"true"`
	// Linear layers.
	Layers int `yaml:"layers" default:"2" range:"[1,4]"`
}

// Task is the objective.
type Task struct {
	// Which objective.
	Name string `yaml:"name" required:"true" enum:"@tasks"`
	// Temperature of the softmax over similarities; with loss sigmoid, where the learned one starts.
	Temperature float64 `yaml:"temperature" default:"0.2" range:"[0.001,100]" only:"@tasks"`
	// Share of the key encoder that each step keeps.
	Momentum float64 `yaml:"momentum" default:"0.99" range:"[0,1)" only:"@tasks"`
	// How that share goes on: the same in every step, or up a half cosine to 1 at the last step.
	MomentumSchedule string `yaml:"momentumSchedule" default:"constant" enum:"constant,cosine" only:"@tasks"`
	// Batch-norm groups into which a virtual rank's keys are permuted, so that batch statistics do not tell which key belongs to which
	// query. 1 is none.
	ShuffleGroups int `yaml:"shuffleGroups" default:"1" range:"[1,)" only:"@tasks"`
	// Form of the loss. Of instdisc: cross-entropy of a sample's own slot among the negatives (softmax), or noise-contrastive estimation (nce).
	// Of simclr: cross-entropy of the positive among all other views (ntxent) or among the other views of the batch's samples without those of its own kind (crossview), of all views of its class among all other views, which needs labels (supcon), or telling of each pair of a first and a second view whether they
	// are of one sample, with a learned temperature and bias (sigmoid); of moco: cross-entropy of the positive among the bank (infonce). Of both: the
	// same without the positive in the denominator (dcl); with the sum over negatives freed of the share that is of the anchor's class
	// (debiased); and with the weight on negatives that lie close to the anchor, too (hard).
	Loss string `yaml:"loss" derived:"softmax with instdisc, ntxent with simclr, infonce with moco" enum:"@losses" only:"@tasks"`
	// Chance of a negative to be of the anchor's class: about 1 over the number of classes.
	TauPlus float64 `yaml:"tauPlus" default:"0.1" range:"[0,1)" only:"loss=debiased|hard"`
	// Where the learned bias of a pair's score starts: so low that nearly all pairs count as what they are, of different samples.
	InitialBias float64 `yaml:"initialBias" default:"-10" range:"[-1000,1000]" only:"loss=sigmoid"`
	// How much more the negatives close to the anchor weigh: each by exp(beta·similarity/temperature).
	Beta float64 `yaml:"beta" default:"1" range:"(0,100]" only:"loss=hard"`
	// Slots of other samples that a step draws for all its queries, each once; all of them where the data set has no more.
	Negatives int `yaml:"negatives" default:"4096" range:"[1,268435456]" unit:"entries" only:"@tasks"`
	// Share of a sample's slot that an update keeps.
	BankMomentum float64 `yaml:"bankMomentum" default:"0.5" range:"[0,1)" only:"@tasks"`
	// Weight of the correlations between different elements of the embedding, beside 1 for those of each element with itself.
	Redundancy float64 `yaml:"redundancy" default:"0.0051" range:"[0,1000]" only:"@tasks"`
	// Weight of the mean squared distance between the two views.
	Invariance float64 `yaml:"invariance" default:"25" range:"[0,1e6]" only:"@tasks"`
	// Weight of the deviations below 1 of the embedding's elements over the batch. It is what keeps all images from ending at one point.
	Variance float64 `yaml:"variance" default:"25" range:"(0,1e6]" only:"@tasks"`
	// Weight of the squared covariances between different elements of the embedding.
	Covariance float64 `yaml:"covariance" default:"1" range:"[0,1e6]" only:"@tasks"`
	// Keys of earlier epochs that are of a query's own sample do not count as its negatives. The bank then remembers each key's sample, which a
	// job cannot take up in the middle.
	MaskOwnKeys bool `yaml:"maskOwnKeys" default:"false" only:"@tasks"`
	// The negatives.
	Bank Bank `yaml:"bank" only:"@tasks"`
	// The head behind the projector that guesses at the embedding of another view. It is not exported. BYOL and SimSiam have no negatives:
	// what keeps all images from ending at one point is this head, with gradients on its side alone, and batch norm.
	Predictor Predictor `yaml:"predictor" only:"@tasks"`
}

// Has tells whether a field of spec.task has a meaning with the task that is named.
func (t Task) Has(field string) bool {
	info, _ := taskInfo(t.Name)
	return info.Has(field)
}

// Bank is the memory of negatives, spread over the workers.
type Bank struct {
	// Negatives in all; at least one for each virtual rank.
	Size int `yaml:"size" default:"4096" range:"[1,268435456]" unit:"entries"`
}

// Predictor is the head that guesses at the embedding of another view; its output is as wide as the projector's.
type Predictor struct {
	// Width of the hidden layers.
	Hidden int `yaml:"hidden" default:"128" range:"[1,65536]"`
	// Batch norm after each hidden layer.
	BatchNorm bool `yaml:"batchNorm" default:"true"`
	// Linear layers.
	Layers int `yaml:"layers" default:"2" range:"[1,4]"`
}

// Optimizer is how gradients become updates.
type Optimizer struct {
	// Which one.
	Name string `yaml:"name" default:"adamw" enum:"adamw,sgd,lars,adam"`
	// Learning rate after the warm-up.
	LR float64 `yaml:"lr" required:"true" range:"(0,1000]"`
	// Decoupled for adamw, added to the gradient for the others.
	WeightDecay float64 `yaml:"weightDecay" default:"0" range:"[0,10]"`
	// Share of the last update that the next one keeps.
	Momentum float64 `yaml:"momentum" default:"0.9" range:"[0,1)" only:"name=sgd|lars"`
	// Nesterov's form of the momentum.
	Nesterov bool `yaml:"nesterov" default:"false" only:"name=sgd"`
	// η: a layer's update is η·‖p‖/‖d‖·d, with its parameters p and their gradient, weight decay included, d.
	TrustCoefficient float64 `yaml:"trustCoefficient" default:"0.001" range:"(0,1]" only:"name=lars"`
	// Decay of the mean of gradients.
	Beta1 float64 `yaml:"beta1" default:"0.9" range:"[0,1)" only:"name=adamw|adam"`
	// Decay of the mean of squared gradients.
	Beta2 float64 `yaml:"beta2" default:"0.999" range:"[0,1)" only:"name=adamw|adam"`
	// Added to the root of the mean of squared gradients.
	Eps float64 `yaml:"eps" default:"1e-8" range:"(0,1]" only:"name=adamw|adam"`
	// Leaves biases and norm parameters out of the weight decay, and out of the rates by layer of lars.
	ExcludeNormAndBias bool `yaml:"excludeNormAndBias" derived:"true with lars, else false"`
	// Largest Euclidean norm of a step's gradient over all parameters of the model; a longer one is scaled down to it. The loss's own parameters (sigmoid) are bounded apart. 0: any.
	ClipNorm float64 `yaml:"clipNorm" default:"0" range:"[0,)"`
	// How the learning rate goes on after the warm-up: down a half cosine or a line to minLr at the last step, down by a factor at each
	// milestone, or unchanged.
	Schedule string `yaml:"schedule" default:"cosine" enum:"cosine,linear,step,constant"`
	// Steps over which the learning rate rises linearly from 0.
	WarmupSteps int `yaml:"warmupSteps" default:"0" range:"[0,)" unit:"steps"`
	// Learning rate at the end of the cosine or line.
	MinLR float64 `yaml:"minLr" default:"0" range:"[0,1000]" only:"schedule=cosine|linear"`
	// Steps after which the learning rate is multiplied by gamma, ascending, none before the end of the warm-up.
	Milestones []int `yaml:"milestones" range:"[1,)" unit:"steps" only:"schedule=step"`
	// Factor of a milestone.
	Gamma float64 `yaml:"gamma" default:"0.1" range:"(0,1]" only:"schedule=step"`
}

// Training is length, batch and randomness of the run.
type Training struct {
	// Every draw of the run is a function of it.
	Seed uint64 `yaml:"seed" default:"0"`
	// Samples of a step, over all workers.
	GlobalBatch int `yaml:"globalBatch" default:"256" range:"[1,1048576]" unit:"samples"`
	// Fixed slices of each global batch. A worker owns whole ones, so this is the largest number of workers. It is part of the result:
	// batch norm sees one virtual rank's samples.
	VirtualRanks int `yaml:"virtualRanks" default:"8" range:"[1,64]"`
	// Passes over the data set; fractions are allowed. Steps are ⌊epochs · samples / globalBatch⌋.
	Epochs float64 `yaml:"epochs" required:"true" range:"(0,1000000]" unit:"epochs"`
	// Numerics profile to which the job is pinned. auto takes the one of the first workers; afterwards only workers of that profile can
	// continue the job. Those of lower numbers are of earlier versions: only workers of such a version compute with them.
	Numerics string `yaml:"numerics" default:"auto" enum:"auto,amd64-fma/2,portable/2,amd64-fma/1,portable/1"`
	// Steps between two entries of the ledger, each with a digest of the whole state.
	LedgerEverySteps int `yaml:"ledgerEverySteps" default:"16" range:"[1,)" unit:"steps"`
	// Steps in a row whose gradient is NaN or infinite, and that are skipped, before the job fails.
	MaxSkippedSteps int `yaml:"maxSkippedSteps" default:"10" range:"[0,)" unit:"steps"`
}

// Sync is how gradients are summed across workers.
type Sync struct {
	// Format of a gradient on the wire: block fixed point, whose sums do not depend on order. int16 takes half the bytes; it rounds values at
	// random, to 15 − log₂ virtualRanks bits below the largest of their block.
	Wire string `yaml:"wire" default:"int32" enum:"int32,int16"`
	// How gradients reach the next worker: over a NATS server in each worker (nats) or over TCP alone (direct), which is faster and what auto
	// means. What cannot be sent so goes over the NATS servers of the cluster.
	Lane string `yaml:"lane" default:"auto" enum:"auto,nats,direct"`
	// Gradient bytes that are reduced as one unit.
	BucketBytes Size `yaml:"bucketBytes" default:"4Mi" range:"[4096,1073741824]" unit:"bytes"`
}

// FaultTolerance says when a worker counts as lost, and how far training runs ahead.
type FaultTolerance struct {
	// A worker that is silent for so long is lost. Every other timeout derives from it.
	DetectWithin Duration `yaml:"detectWithin" default:"2s" range:"[0.1,600]" unit:"time"`
	// Steps that training may run ahead of the ledger while no coordinator leads.
	MaxUncommittedSteps int `yaml:"maxUncommittedSteps" default:"64" range:"[1,)" unit:"steps"`
}

// Checkpoint says where and when the state is stored.
type Checkpoint struct {
	// Folder: s3://bucket/prefix or file:///path; each job writes below its own UID. A relative path is resolved as for the data.
	URI    string `yaml:"uri" required:"true"`
	Access `yaml:",inline"`
	// Steps between two checkpoints. The last step, and a pause, write one too.
	EverySteps int `yaml:"everySteps" default:"100" range:"[1,)" unit:"steps"`
	// Newest checkpoints that are kept.
	Keep int `yaml:"keep" default:"3" range:"[1,1000]"`
}

// Evaluate says how the encoder is measured: frozen features of clean images, by nearest neighbours and by a linear probe, beside the
// same measures of raw pixels and of the untrained model. The end of the job is always measured.
type Evaluate struct {
	// Epochs between two measurements. The first one measures the floors, too.
	EveryEpochs int `yaml:"everyEpochs" default:"1" range:"[1,)" unit:"epochs"`
	// Labelled samples that the neighbours are taken from and the probe is fitted on.
	Train Source `yaml:"train"`
	// Labelled samples that are predicted.
	Test Source `yaml:"test"`
	// The nearest-neighbour measure.
	KNN KNN `yaml:"knn"`
	// The linear probe.
	Linear Linear `yaml:"linear"`
}

// KNN is weighted nearest neighbours by cosine similarity s: each of k votes with exp(s/temperature).
type KNN struct {
	// Neighbours.
	K int `yaml:"k" default:"20" range:"[1,1000]"`
	// Temperature of the votes.
	Temperature float64 `yaml:"temperature" default:"0.1" range:"[0.001,100]"`
}

// Linear is multinomial logistic regression on standardised features, fitted by L-BFGS.
type Linear struct {
	// Weight of ‖W‖² in the loss.
	L2 float64 `yaml:"l2" default:"1e-4" range:"[0,1000]"`
	// Iterations at most.
	Iterations int `yaml:"iterations" default:"100" range:"[1,100000]"`
}

// Size is a number of bytes; in the file 4194304, 4Mi, 4MiB, 512Ki, 1Gi, 4M or 4MB.
type Size int64

// Duration is a length of time; in the file 500ms, 2s, 1m30s.
type Duration time.Duration

// Std is d in the type of the standard library.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MicroBatch is the number of samples of one virtual rank in one step.
func (t Training) MicroBatch() int { return t.GlobalBatch / t.VirtualRanks }
