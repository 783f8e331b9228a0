// Package report says of an organization's access to Exchange what is handed to others: the
// access log, the audit log and the evidence. A page, the API and a command that are asked
// for the same tell the same, because each of them asks here; how it looks on a page is
// theirs.
//
// What is exported is written as it comes, however long it takes, and that somebody exports
// it stands in the audit log before the first line of it leaves.
package report

// The formats of an export.
const (
	CSV  = "csv"
	JSON = "json"
)

// Of hands out a list that is at hand, as the writers of this package ask for it.
func Of[T any](list []T) func(take func(*T) error) error {
	return func(take func(*T) error) error {
		for i := range list {
			if err := take(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}
}
