package jobspec

import "slices"

// ModelInfo is what the job file must know about a model without importing it.
type ModelInfo struct {
	Name      string
	BatchNorm bool // the encoder itself has batch norm, whatever the projector has; spec.model.norm may take it away
}

// TaskInfo is what the job file must know about a task without importing it.
type TaskInfo struct {
	Name    string
	Fields  []string // of spec.task, beside its name: those that have a meaning with this task
	Losses  []string // that spec.task.loss may name, the one that an absent field stands for first
	InBatch bool     // a sample is compared with the others of its batch
}

// Has tells whether a field of spec.task has a meaning with this task.
func (t TaskInfo) Has(field string) bool { return slices.Contains(t.Fields, field) }

var models = []ModelInfo{
	{Name: "resnet-tiny", BatchNorm: true},
	{Name: "resnet18", BatchNorm: true},
	{Name: "resnet50", BatchNorm: true},
	{Name: "vit-tiny", BatchNorm: false},
	{Name: "mlp", BatchNorm: true},
}

var tasks = []TaskInfo{
	{Name: "moco", Fields: []string{"temperature", "momentum", "momentumSchedule", "shuffleGroups", "bank", "maskOwnKeys", "loss"}, Losses: []string{"infonce", "dcl", "debiased", "hard"}},
	{Name: "simclr", Fields: []string{"temperature", "loss"}, Losses: []string{"ntxent", "supcon", "crossview", "sigmoid", "dcl", "debiased", "hard"}, InBatch: true},
	{Name: "instdisc", Fields: []string{"temperature", "loss", "negatives", "bankMomentum"}, Losses: []string{"softmax", "nce"}},
	{Name: "mocov3", Fields: []string{"temperature", "momentum", "momentumSchedule", "predictor"}, InBatch: true},
	{Name: "byol", Fields: []string{"momentum", "momentumSchedule", "predictor"}},
	{Name: "simsiam", Fields: []string{"predictor"}},
	{Name: "barlowtwins", Fields: []string{"redundancy"}, InBatch: true},
	{Name: "vicreg", Fields: []string{"invariance", "variance", "covariance"}, InBatch: true},
}

// Models is the table of models that a job may name.
func Models() []ModelInfo { return slices.Clone(models) }

// Tasks is the table of tasks that a job may name.
func Tasks() []TaskInfo { return slices.Clone(tasks) }

func modelInfo(name string) (ModelInfo, bool) {
	i := slices.IndexFunc(models, func(m ModelInfo) bool { return m.Name == name })
	if i < 0 {
		return ModelInfo{}, false
	}
	return models[i], true
}

func taskInfo(name string) (TaskInfo, bool) {
	i := slices.IndexFunc(tasks, func(t TaskInfo) bool { return t.Name == name })
	if i < 0 {
		return TaskInfo{}, false
	}
	return tasks[i], true
}
