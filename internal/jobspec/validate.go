package jobspec

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// checker reports what is wrong across fields, at the place where the field stands.
type checker struct {
	*decoder
	root place
}

// fail reports a problem with the field at path; a field that was not written is reported at the nearest section that was.
func (c *checker) fail(path, problem, expected string) {
	for _, e := range c.errs {
		// A field that could not be read at all is already reported; what follows from it would only confuse.
		if e.Path == path || strings.HasPrefix(path, e.Path+".") {
			return
		}
	}
	p, at := c.root, path
	for {
		if q, ok := c.written[at]; ok {
			p = q
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	c.decoder.fail(p, path, problem, expected, "")
}

// broken tells whether one of the fields could not be read; checks that need it are then left out.
func (c *checker) broken(paths ...string) bool {
	for _, e := range c.errs {
		for _, path := range paths {
			if e.Path == path || strings.HasPrefix(path, e.Path+".") || strings.HasPrefix(e.Path, path+"[") {
				return true
			}
		}
	}
	return false
}

func (j *Job) validate(c *checker) {
	checkName(c, "metadata.name", j.Metadata.Name)
	s := &j.Spec
	s.checkPlaces(c)
	s.checkBatch(c)
	s.checkModel(c)
	s.checkTransforms(c)
	s.checkTask(c)
	s.checkOptimizer(c)
	c.checkOnly(reflect.ValueOf(j).Elem(), "")
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func checkName(c *checker, path, name string) {
	if c.broken(path) || dnsLabel.MatchString(name) {
		return
	}
	c.fail(path, fmt.Sprintf("is the text %q", name),
		"at most 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit")
}

// checkPlaces checks every URI and what belongs to it.
func (s *Spec) checkPlaces(c *checker) {
	checkSource(c, "spec.dataset", s.Dataset.Source)
	checkURI(c, "spec.checkpoint", s.Checkpoint.URI, s.Checkpoint.Access)
	if i := strings.IndexAny(s.Checkpoint.URI, "{}*?["); i >= 0 {
		c.fail("spec.checkpoint.uri", fmt.Sprintf("has a pattern (%q)", s.Checkpoint.URI[i:]), "one folder")
	}
	if s.Evaluate != nil {
		checkSource(c, "spec.evaluate.train", s.Evaluate.Train)
		checkSource(c, "spec.evaluate.test", s.Evaluate.Test)
	}
}

func checkSource(c *checker, path string, s Source) {
	checkURI(c, path, s.URI, s.Access)
	if strings.Count(s.URI, "{") != strings.Count(s.URI, "}") {
		c.fail(path+".uri", "has an unbalanced brace", "ranges such as {000..009} or lists such as {a,b}")
	}
}

func checkURI(c *checker, path, uri string, a Access) {
	if a.SecretRef != nil {
		checkName(c, path+".secretRef.name", a.SecretRef.Name)
	}
	if holdsCredentials(a.Endpoint) {
		c.fail(path+".endpoint", credentialGiven, credentialWanted)
		return
	}
	if c.broken(path + ".uri") {
		return
	}
	if holdsCredentials(uri) {
		c.fail(path+".uri", credentialGiven, credentialWanted)
		return
	}
	const expected = "s3://bucket/key or file:///path"
	scheme, rest, ok := strings.Cut(uri, "://")
	switch {
	case !ok:
		c.fail(path+".uri", fmt.Sprintf("%q has no scheme", uri), expected)
	case scheme == "s3":
		bucket, _, _ := strings.Cut(rest, "/")
		if bucket == "" {
			c.fail(path+".uri", fmt.Sprintf("%q names no bucket", uri), expected)
		}
		if a.Endpoint != "" && !strings.HasPrefix(a.Endpoint, "http://") && !strings.HasPrefix(a.Endpoint, "https://") {
			c.fail(path+".endpoint", fmt.Sprintf("%q has no scheme", a.Endpoint), "http://host:port or https://host:port")
		}
	case scheme == "file":
		if rest == "" {
			c.fail(path+".uri", fmt.Sprintf("%q names no path", uri), expected)
		}
		for _, f := range []struct {
			name  string
			given bool
		}{{"endpoint", a.Endpoint != ""}, {"region", a.Region != ""}, {"secretRef", a.SecretRef != nil}} {
			if f.given {
				c.fail(path+"."+f.name, "has no meaning with file://", "it only beside an s3:// uri")
			}
		}
	default:
		c.fail(path+".uri", fmt.Sprintf("%q has the unknown scheme %q", uri, scheme), expected)
	}
}

// checkBatch checks workers, batch, virtual ranks and the ledger.
func (s *Spec) checkBatch(c *checker) {
	w, t := s.Workers, s.Training
	const vr = "spec.training.virtualRanks"
	if !c.broken("spec.workers.max", vr) && w.Max > t.VirtualRanks {
		c.fail("spec.workers.max", fmt.Sprintf("is %d, but there are only %d virtual ranks to share out", w.Max, t.VirtualRanks),
			fmt.Sprintf("≤ spec.training.virtualRanks (%d)", t.VirtualRanks))
	}
	if !c.broken("spec.workers.min", "spec.workers.max", vr) && w.Min > w.Max {
		c.fail("spec.workers.min", fmt.Sprintf("is %d, above the most that may be used", w.Min), fmt.Sprintf("≤ spec.workers.max (%d)", w.Max))
	}
	if !c.broken("spec.training.ledgerEverySteps", "spec.faultTolerance.maxUncommittedSteps") &&
		t.LedgerEverySteps > s.FaultTolerance.MaxUncommittedSteps {
		c.fail("spec.training.ledgerEverySteps",
			fmt.Sprintf("is %d: training would wait before there is anything to commit", t.LedgerEverySteps),
			fmt.Sprintf("≤ spec.faultTolerance.maxUncommittedSteps (%d)", s.FaultTolerance.MaxUncommittedSteps))
	}
	if c.broken("spec.training.globalBatch", vr) {
		return
	}
	if t.GlobalBatch%t.VirtualRanks != 0 {
		c.fail("spec.training.globalBatch", fmt.Sprintf("is %d, which %d virtual ranks cannot share evenly", t.GlobalBatch, t.VirtualRanks),
			fmt.Sprintf("a multiple of spec.training.virtualRanks (%d)", t.VirtualRanks))
		return
	}
	s.checkMicroBatch(c)
}

// checkMicroBatch checks what one virtual rank's batch norm sees.
func (s *Spec) checkMicroBatch(c *checker) {
	micro, groups := s.Training.MicroBatch(), s.Task.ShuffleGroups
	if c.broken("spec.task.shuffleGroups", "spec.task.name", "spec.model.name", "spec.model.norm", "spec.model.projector.batchNorm", "spec.task.predictor.batchNorm") {
		return
	}
	if !s.Task.Has("shuffleGroups") {
		groups = 1
	}
	if micro%groups != 0 {
		c.fail("spec.task.shuffleGroups", fmt.Sprintf("is %d, which does not divide the %d samples of a virtual rank", groups, micro),
			"a divisor of spec.training.globalBatch / spec.training.virtualRanks")
		return
	}
	model, _ := modelInfo(s.Model.Name)
	predictorNorm := s.Task.Has("predictor") && s.Task.Predictor.BatchNorm
	encoderNorm := model.BatchNorm && s.Model.Norm == "batch"
	if (encoderNorm || s.Model.Projector.BatchNorm || predictorNorm) && micro/groups < 2 {
		c.fail("spec.training.globalBatch", fmt.Sprintf("gives a batch-norm group %d sample", micro/groups),
			fmt.Sprintf("at least %d, two samples for each of %d virtual ranks × %d groups",
				2*s.Training.VirtualRanks*groups, s.Training.VirtualRanks, groups))
	}
}

// checkModel checks that the patches cover the images.
func (s *Spec) checkModel(c *checker) {
	m := s.Model
	if m.Name != "vit-tiny" || c.broken("spec.model.name", "spec.model.patch", "spec.model.image") {
		return
	}
	if m.Image.Height%m.Patch != 0 || m.Image.Width%m.Patch != 0 {
		c.fail("spec.model.patch", fmt.Sprintf("is %d, which does not divide the %d×%d image", m.Patch, m.Image.Height, m.Image.Width),
			"a divisor of spec.model.image.height and width")
	}
}

// checkTransforms checks the transforms against each other and the model's image.
func (s *Spec) checkTransforms(c *checker) {
	image := s.Model.Image
	const list = "spec.transforms"
	for i, t := range s.Transforms {
		at := fmt.Sprintf("%s[%d]", list, i)
		if r := t.RandomResizedCrop; r != nil {
			at := at + ".randomResizedCrop"
			if !c.broken(at+".size", "spec.model.image") && (r.Size != image.Height || r.Size != image.Width) {
				c.fail(at+".size", fmt.Sprintf("is %d, but the model sees %d×%d", r.Size, image.Height, image.Width),
					"spec.model.image.height and width")
			}
			checkOrder(c, at+".area", r.Area)
			checkOrder(c, at+".ratio", r.Ratio)
		}
		if e := t.Erase; e != nil {
			checkOrder(c, at+".erase.area", e.Area)
		}
		if n := t.Normalize; n != nil {
			at := at + ".normalize"
			if i != len(s.Transforms)-1 {
				c.fail(at, "is not the last transform; the others work on intensities from 0 to 1", "it at the end")
			}
			for _, f := range []struct {
				name   string
				values []float64
			}{{"mean", n.Mean}, {"std", n.Std}} {
				if !c.broken(at+"."+f.name, "spec.model.image.channels") && len(f.values) != image.Channels {
					c.fail(at+"."+f.name, fmt.Sprintf("has %d elements", len(f.values)),
						fmt.Sprintf("one for each of spec.model.image.channels (%d)", image.Channels))
				}
			}
		}
	}
}

func checkOrder(c *checker, path string, bounds []float64) {
	if !c.broken(path) && len(bounds) == 2 && bounds[0] > bounds[1] {
		c.fail(path, fmt.Sprintf("goes from %g down to %g", bounds[0], bounds[1]), "the lower bound first")
	}
}

func (s *Spec) checkTask(c *checker) {
	if c.broken("spec.task.name") {
		return
	}
	info, _ := taskInfo(s.Task.Name)
	if v := s.Training.VirtualRanks; info.Has("bank") && !c.broken("spec.task.bank.size", "spec.training.virtualRanks") && s.Task.Bank.Size < v {
		c.fail("spec.task.bank.size", fmt.Sprintf("is %d, less than one negative for each virtual rank", s.Task.Bank.Size),
			fmt.Sprintf("≥ spec.training.virtualRanks (%d)", v))
	}
	if info.Has("loss") && !c.broken("spec.task.loss") && !slices.Contains(info.Losses, s.Task.Loss) {
		c.fail("spec.task.loss", fmt.Sprintf("is %s, which is no form of %s", s.Task.Loss, info.Name), "one of "+strings.Join(info.Losses, ", "))
	}
	if info.InBatch && !c.broken("spec.training.globalBatch") && s.Training.GlobalBatch < 2 {
		c.fail("spec.training.globalBatch", "is 1, which leaves no other sample to compare with", fmt.Sprintf("at least 2 with spec.task.name: %s", info.Name))
	}
}

func (s *Spec) checkOptimizer(c *checker) {
	o := s.Optimizer
	if !c.broken("spec.optimizer.minLr", "spec.optimizer.lr") && o.MinLR > o.LR {
		c.fail("spec.optimizer.minLr", fmt.Sprintf("is %g, above the learning rate itself", o.MinLR), fmt.Sprintf("≤ spec.optimizer.lr (%g)", o.LR))
	}
	if o.Nesterov && !c.broken("spec.optimizer.momentum") && o.Momentum == 0 {
		c.fail("spec.optimizer.nesterov", "needs a momentum", "spec.optimizer.momentum > 0")
	}
	checkMilestones(c, o)
}

// checkMilestones checks the steps of a schedule that goes down by steps.
func checkMilestones(c *checker, o Optimizer) {
	const at = "spec.optimizer.milestones"
	if o.Schedule != "step" || c.broken(at, "spec.optimizer.schedule", "spec.optimizer.warmupSteps") {
		return
	}
	if len(o.Milestones) == 0 {
		c.fail(at, "is missing", "one step or more beside schedule: step")
		return
	}
	if o.Milestones[0] < o.WarmupSteps {
		c.fail(at, fmt.Sprintf("begins with step %d, within the warm-up", o.Milestones[0]), fmt.Sprintf("≥ spec.optimizer.warmupSteps (%d)", o.WarmupSteps))
	}
	for i, m := range o.Milestones[1:] {
		if m <= o.Milestones[i] {
			c.fail(at, fmt.Sprintf("has %d after %d", m, o.Milestones[i]), "each step once, in ascending order")
			return
		}
	}
}

// checkOnly reports fields that were written but have no meaning beside the value of their neighbour.
func (c *checker) checkOnly(section reflect.Value, path string) {
	fields := Fields(section.Type())
	for _, f := range fields {
		at := join(path, f.Name)
		value := section.FieldByIndex(f.index)
		if _, written := c.written[at]; written && !f.applies(section, fields) {
			name, values := f.Condition()
			i := slices.IndexFunc(fields, func(g Field) bool { return g.Name == name })
			if neighbour := join(path, name); !c.broken(neighbour) {
				c.fail(at, fmt.Sprintf("has no meaning with %s: %s", name, section.FieldByIndex(fields[i].index).String()),
					fmt.Sprintf("it only beside %s: %s", name, strings.Join(values, " or ")))
			}
		}
		if value.Kind() == reflect.Pointer && !value.IsNil() {
			value = value.Elem()
		}
		if value.Kind() == reflect.Struct {
			c.checkOnly(value, at)
		}
	}
}
