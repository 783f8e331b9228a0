package crm

// Ids are row ids given by the store; 0 means "not stored yet".
type (
	OrgID        int64
	ConnectionID int64
	MailboxID    int64
	FolderID     int64
	UserID       int64
	ContactID    int64
	MessageID    int64
	ActivityID   int64
)
