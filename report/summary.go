package report

import (
	"context"
	"time"

	"postern/store"
)

// A Summary is what was ever asked of Exchange, from where and under which name.
type Summary struct {
	Operations []Operation `json:"operations"`
	Origins    []Origin    `json:"origins"`
}

// An Operation is how much was asked for by one kind of request.
type Operation struct {
	Operation string    `json:"operation"`
	Requests  int       `json:"requests"`
	Failed    int       `json:"failed"`
	Tests     int       `json:"failed_in_tests"` // of those failed: the connection test asks for what must be refused
	Items     int64     `json:"items"`
	Sent      int64     `json:"sent_bytes"`
	Received  int64     `json:"received_bytes"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// An Origin is from where, under which name and as whom something was asked for.
type Origin struct {
	UserAgent string    `json:"user_agent"`
	Source    string    `json:"source"`
	Host      string    `json:"host"`
	Account   string    `json:"account"`
	Requests  int       `json:"requests"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// Summarize adds up the access log, from its beginning.
func Summarize(ctx context.Context, org *store.Org) (Summary, error) {
	sum := Summary{Operations: []Operation{}, Origins: []Origin{}}
	operations, err := org.AccessOperations(ctx)
	if err != nil {
		return sum, err
	}
	for _, o := range operations {
		sum.Operations = append(sum.Operations, Operation{o.Operation, o.Requests, o.Failed, o.FailedTests, o.Items, o.Sent, o.Received, o.First, o.Last})
	}
	origins, err := org.AccessOrigins(ctx)
	for _, o := range origins {
		sum.Origins = append(sum.Origins, Origin(o))
	}
	return sum, err
}
