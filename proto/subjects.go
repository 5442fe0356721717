package proto

import "fmt"

// RingSubject is the NATS subject prefix of one generation's ring. Every subject of the ring stands below it, so a message of another
// cluster, job or generation reaches no subscriber.
func RingSubject(cluster, jobUID string, generation uint64) string {
	return fmt.Sprintf("sslctl.%s.%s.%d", cluster, jobUID, generation)
}

// LogSubject is the NATS subject of log lines that concern a job; with ">" for the UID, of all jobs.
func LogSubject(cluster, jobUID string) string {
	return fmt.Sprintf("sslctl.%s.logs.%s", cluster, jobUID)
}
