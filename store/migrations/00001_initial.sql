-- The tables of Postern, for SQLite and PostgreSQL alike. The words in double braces are
-- the few in which the two differ; dialect.go has them.
--
-- All times are microseconds since 1970 in UTC; 0 = unknown or none. Every key but that of
-- budget begins with the organization. The tables of mail carry no foreign keys, since a
-- check for each of the 30 rows of a message would cost as much as storing it; Org.Ledger
-- proves instead that they belong together, also against hands that bypass the program.

create table org (
	id       {{.ID}},
	revision bigint not null default 0,  -- raised by each change of people, settings, policy
	hash_key {{.Bytes}} not null         -- sealed: key of the hashes in trace and *_address
);

create table connection (
	id         {{.ID}},
	org_id     bigint not null,
	enabled    boolean not null,
	server     text not null,
	version    text not null,
	login      text not null,
	password   {{.Bytes}}, -- sealed
	user_agent text not null,
	gzip       boolean not null,
	root_cas   text not null,
	saved_at   bigint not null default 0
);

create table account (
	id       {{.ID}},
	org_id   bigint not null,
	name     text not null,
	admin    boolean not null,
	active   boolean not null,
	password text not null default '', -- a password hash; '' = none
	words    text not null             -- name and addresses, folded, for lists
);
create index account_by_name on account (org_id, name, id);

create table user_address (
	org_id   bigint not null,
	user_id  bigint not null references account (id),
	address  text not null,
	position bigint not null, -- 0 = the primary one
	hash     bigint not null,
	active   boolean not null, -- as the user is
	primary key (org_id, user_id, address)
) {{.Clustered}};
create unique index user_address_active on user_address (org_id, address) where active;
create index user_address_by_hash on user_address (org_id, hash);

create table contact (
	id      {{.ID}},
	org_id  bigint not null,
	name    text not null,
	company text not null,
	title   text not null,
	words   text not null -- name, company and addresses, folded, for lists
);
create index contact_by_name on contact (org_id, name, id);

create table contact_address (
	org_id     bigint not null,
	address    text not null,
	contact_id bigint not null references contact (id),
	position   bigint not null,
	hash       bigint not null,
	primary key (org_id, address, contact_id)
) {{.Clustered}};
create index contact_address_by_contact on contact_address (org_id, contact_id);
create index contact_address_by_hash on contact_address (org_id, hash);

create table session (
	token_hash {{.Bytes}} not null,
	org_id     bigint not null,
	user_id    bigint not null references account (id),
	expires_at bigint not null,
	primary key (org_id, token_hash)
) {{.Clustered}};

create table mailbox (
	id            {{.ID}},
	org_id        bigint not null,
	connection_id bigint not null references connection (id),
	user_id       bigint not null references account (id),
	address       text not null,
	state         text not null,
	since         bigint not null,
	checked_at    bigint not null default 0,
	due_at        bigint not null,
	trouble       text not null default '', -- a fault in JSON
	tries         bigint not null default 0,
	server        text not null default '',    -- that it lives on, as Exchange told
	primary_address text not null default '',  -- as Exchange told, when it is another than address
	bell          bigint not null default 0,
	unique (org_id, user_id)
);
create unique index mailbox_active on mailbox (org_id, address) where state <> 'off';
create index mailbox_due on mailbox (org_id, due_at) where state <> 'off';

-- How much the servers bear. It is the one table of the installation, not of an
-- organization.
create table budget (
	scope        text not null,   -- mailbox, account, host
	key          text not null,
	width        bigint not null, -- requests open at once
	silent_until bigint not null,
	changed_at   bigint not null, -- width
	code         text not null,   -- why it is silent or narrowed
	strikes      bigint not null,
	primary key (scope, key)
) {{.Clustered}};

create table alert (
	id        {{.ID}},
	org_id    bigint not null,
	cause     text not null,
	code      text not null,
	subject   text not null,
	message   text not null,
	advice    text not null,
	opened_at bigint not null,
	closed_at bigint not null, -- 0 = open
	seen_at   bigint not null, -- raised last
	raised    bigint not null  -- how often
);
create unique index alert_open on alert (org_id, subject, code) where closed_at = 0;

create table folder (
	id         {{.ID}},
	org_id     bigint not null,
	mailbox_id bigint not null references mailbox (id),
	source_id  text not null,
	parent     text not null,
	name       text not null,
	role       text not null,
	kind       text not null,
	total      bigint not null,
	mark       text not null,
	path       text not null,
	in_scope   boolean not null,
	cursor     text not null default '',
	listed     boolean not null default false,
	epoch      bigint not null default 0,
	saved_mark text not null default '',
	drift      bigint not null default 0,
	unique (org_id, mailbox_id, source_id)
);

-- The ledger: what was decided about each item that a mailbox lists.
create table decision (
	id         {{.ID}},
	org_id     bigint not null,
	mailbox_id bigint not null,
	item_hash  {{.Bytes}} not null, -- the first 16 bytes of SHA-256 of item
	item       text not null,
	folder_id  bigint not null,
	epoch      bigint not null,     -- the listing of the folder that brought it last
	outcome    text not null,
	reason     text not null,
	rule       text not null,
	tries      bigint not null,
	due_at     bigint not null,     -- to be looked at again; of a partial message: what is missing is owed
	when_at    bigint not null,     -- date of the message
	decided_at bigint not null,
	traces     {{.Bytes}} not null, -- not filed: its rows in trace, 8 bytes each
	unique (org_id, mailbox_id, item_hash)
);
create index decision_by_folder on decision (org_id, mailbox_id, folder_id, outcome, reason);
create index decision_due on decision (org_id, mailbox_id, due_at) where due_at > 0;
create index decision_left on decision (org_id, mailbox_id) where reason = 'left';

-- Keyed hashes by which an item that was not filed is found again: of its Message-ID and
-- of its participants' addresses.
create table trace (
	org_id      bigint not null,
	hash        bigint not null,
	decision_id bigint not null,
	primary key (org_id, hash, decision_id)
) {{.Clustered}};

create table message (
	id           {{.ID}},
	org_id       bigint not null,
	message_key  {{.Bytes}} not null, -- 'm' or 'f' and the first 16 bytes of crm.Item.Key
	variant      bigint not null,     -- tells apart different messages that bear one Message-ID
	message_id   text not null,
	subject      text not null,
	from_address text not null,
	sent_at      bigint not null,
	received_at  bigint not null,
	when_at      bigint not null,
	direction    text not null,
	preview      text not null,
	encrypted    boolean not null,
	thread_id    bigint not null,
	people       bigint not null,     -- checksum of its rows in participant
	attachments  bigint not null,     -- number of its rows in attachment
	missing      text not null,       -- of a partial message: what could not be had; see partial.go
	missing_code text not null,       -- and why: the fault's code
	missing_why  text not null,       -- and sentence
	seal         {{.Bytes}} not null, -- hash of subject, sender, date and text; see seal
	unique (org_id, message_key, variant)
);
create index message_by_thread on message (org_id, thread_id);

-- References, Message-IDs and conversation ids, hashed, and the thread that each belongs to.
create table thread_ref (
	org_id    bigint not null,
	ref       bigint not null,
	thread_id bigint not null,
	primary key (org_id, ref)
) {{.Clustered}};

create table body (
	org_id     bigint not null,
	message_id {{.Row}},
	html       text not null,
	text       text not null
);

create table participant (
	org_id     bigint not null,
	message_id bigint not null,
	part       text not null,
	who        text not null,    -- the address, or the raw text when it is none
	mailbox_id bigint not null,  -- for bcc: the mailbox whose copy carried it; else 0
	position   bigint not null,
	name       text not null,
	readable   boolean not null, -- who is an address
	primary key (org_id, message_id, part, who, mailbox_id)
) {{.Clustered}};
create index participant_by_who on participant (org_id, who);

-- The copies of a message in mailboxes; those gone are kept and marked. One that its
-- folder does not have any more is missing at first, since it may have moved.
create table copy (
	org_id      bigint not null,
	mailbox_id  bigint not null,
	item_hash   {{.Bytes}} not null,
	item        text not null,
	message_id  bigint not null,
	folder_id   bigint not null,
	version     text not null,
	is_read     boolean not null,
	size        bigint not null, -- as the server counts; 0 = unknown
	sensitivity text not null,
	categories  text not null,   -- in JSON; '' = none
	seen_at     bigint not null,
	missing_at  bigint not null,
	gone_at     bigint not null,
	primary key (org_id, mailbox_id, item_hash)
) {{.Clustered}};
create index copy_by_message on copy (org_id, message_id);
create index copy_missing on copy (org_id, mailbox_id, missing_at) where missing_at > 0;

create table activity (
	id         {{.ID}},
	org_id     bigint not null,
	message_id bigint not null,
	kind       text not null,
	when_at    bigint not null,
	links      bigint not null, -- checksum of its rows in activity_link
	unique (org_id, message_id, kind)
);
create index activity_by_time on activity (org_id, when_at, id);

-- Whose page shows an activity. The time stands in the key, so that a page of a
-- timeline is one stretch of the table; it is that of the activity and never changes.
create table activity_link (
	org_id      bigint not null,
	person      text not null, -- c = contact, u = user
	person_id   bigint not null,
	when_at     bigint not null,
	activity_id bigint not null,
	address     text not null,
	part        text not null,
	auto        boolean not null,
	primary key (org_id, person, person_id, when_at, activity_id)
) {{.Clustered}};
create index activity_link_by_activity on activity_link (org_id, activity_id);

-- My Emails: what a user has, or had, in the mailbox.
create table user_message (
	org_id     bigint not null,
	user_id    bigint not null,
	when_at    bigint not null,
	message_id bigint not null,
	unread     boolean not null,
	gone       boolean not null,
	primary key (org_id, user_id, when_at, message_id)
) {{.Clustered}};

create table attachment (
	id         {{.ID}},
	org_id     bigint not null,
	message_id bigint not null,
	position   bigint not null,
	mailbox_id bigint not null,     -- of the copy that source_id belongs to
	item_hash  {{.Bytes}} not null, -- of that copy
	source_id  text not null,
	name       text not null,
	type       text not null,
	content_id text not null,
	inline     boolean not null,
	size       bigint not null,
	state      text not null,
	note       text not null,
	sha256     {{.Bytes}},
	tries      bigint not null default 0,
	due_at     bigint not null default 0,
	unique (org_id, message_id, position)
);
create index attachment_pending on attachment (org_id, mailbox_id, due_at) where state in ('pending', 'failed');

-- Contents of small attachments; large ones are files. See blobs.go.
create table blob (
	org_id  bigint not null,
	sha256  {{.Bytes}} not null,
	content {{.Bytes}} not null,
	primary key (org_id, sha256)
);

{{.Search}};
{{.Statistics}}
