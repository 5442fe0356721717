package coordinator

import (
	"cmp"
	"slices"
	"sync"

	pb "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// What is kept of logs is bounded: the newest lines of the jobs that were logged about last.
const (
	logLinesMost = 2000    // of a job
	logBytesMost = 1 << 20 // of a job
	logJobsMost  = 64
)

// jobLogs are the newest log lines about each job, of all processes.
type jobLogs struct {
	changed broadcast

	mu    sync.Mutex
	jobs  map[string]*jobLog // by UID
	clock uint64             // lines so far, of all jobs
}

// jobLog is what is kept of one job, in the order in which it came.
type jobLog struct {
	lines   []*pb.LogLine
	gone    uint64 // lines before those
	bytes   int
	touched uint64 // clock of the newest
}

func newJobLogs() *jobLogs { return &jobLogs{jobs: map[string]*jobLog{}} }

// add keeps a line, and forgets what is too old.
func (l *jobLogs) add(line *pb.LogLine) {
	l.mu.Lock()
	j := l.jobs[line.JobUid]
	if j == nil {
		l.makeRoom()
		j = &jobLog{}
		l.jobs[line.JobUid] = j
	}
	l.clock++
	j.touched = l.clock
	j.lines = append(j.lines, line)
	j.bytes += len(line.Json)
	for len(j.lines) > logLinesMost || j.bytes > logBytesMost {
		j.bytes -= len(j.lines[0].Json)
		j.lines[0] = nil
		j.lines = j.lines[1:]
		j.gone++
	}
	l.mu.Unlock()
	l.changed.notify()
}

// makeRoom forgets the job that nothing was logged about for longest, if there are too many.
func (l *jobLogs) makeRoom() {
	if len(l.jobs) < logJobsMost {
		return
	}
	oldest, touched := "", l.clock+1
	for uid, j := range l.jobs {
		if j.touched < touched {
			oldest, touched = uid, j.touched
		}
	}
	delete(l.jobs, oldest)
}

// since returns the lines of a job from the one numbered from on, in order of time, the number of the next one, and how many of those
// asked for are not kept any more.
func (l *jobLogs) since(uid string, from uint64) (lines []*pb.LogLine, next, leftOut uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobs[uid]
	if j == nil {
		return nil, from, 0
	}
	if from < j.gone {
		leftOut, from = j.gone-from, j.gone
	}
	next = j.gone + uint64(len(j.lines))
	lines = slices.Clone(j.lines[min(from, next)-j.gone:])
	slices.SortStableFunc(lines, func(a, b *pb.LogLine) int { return cmp.Compare(a.UnixNano, b.UnixNano) })
	return lines, next, leftOut
}
