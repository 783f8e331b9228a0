-- Each request to Exchange. What repeats stands once, in access_word and access_origin,
-- under keyed hashes that need no look before they are written: a row has some 170 bytes with all that belongs to it.

create table access (
	org_id    bigint not null,
	asked_at  bigint not null,
	id        bigint not null, -- random: tells requests of one microsecond apart
	took      bigint not null, -- microseconds
	mailbox   bigint not null, -- access_word; 0 = the account acted for itself
	operation bigint not null, -- access_word
	folder    bigint not null, -- access_word; 0 = none
	origin    bigint not null, -- access_origin
	port      bigint not null, -- that it left from
	items     bigint not null,
	sent      bigint not null,
	received  bigint not null,
	status    bigint not null,
	code      text not null,
	hanging   boolean not null,
	request_id        {{.Bytes}} not null, -- see packID
	server_request_id {{.Bytes}} not null,
	primary key (org_id, asked_at, id)
) {{.Clustered}};
create index access_by_mailbox on access (org_id, mailbox, asked_at, id);

create table access_word (
	org_id bigint not null,
	kind   text not null, -- mailbox, operation, folder
	id     bigint not null,
	word   text not null,
	day    bigint not null, -- since 1970, UTC: the last on which it was used
	primary key (org_id, kind, id)
) {{.Clustered}};

-- From where, as whom and under which name requests went to which host. It is kept when
-- the requests are not any more, as access_day is.
create table access_origin (
	org_id     bigint not null,
	id         bigint not null,
	user_agent text not null,
	source     text not null,
	host       text not null,
	account    text not null,
	requests   bigint not null,
	first_at   bigint not null,
	last_at    bigint not null,
	primary key (org_id, id)
) {{.Clustered}};

-- How much was asked for on each day.
create table access_day (
	org_id    bigint not null,
	day       bigint not null,
	operation text not null,
	requests  bigint not null,
	refused   bigint not null,
	items     bigint not null,
	sent      bigint not null,
	received  bigint not null,
	first_at  bigint not null,
	last_at   bigint not null,
	primary key (org_id, day, operation)
) {{.Clustered}};

alter table org add column access_days bigint not null default 90; -- that requests are kept
