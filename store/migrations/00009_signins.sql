-- How mailboxes are opened: by which way to log on, by which accounts, and by whose.

alter table connection add column model text not null default '';              -- crm.AuthModel
alter table connection add column scheme text not null default '';             -- crm.Scheme
alter table connection add column keytab {{.Bytes}};                           -- sealed
alter table connection add column kdc text not null default '';                -- a krb5.conf
alter table connection add column client_certificate text not null default ''; -- PEM
alter table connection add column client_key {{.Bytes}};                       -- sealed

-- Service accounts besides the one in connection, over which the mailboxes are spread.
create table service_account (
	id       {{.ID}},
	org_id   bigint not null,
	position bigint not null,
	login    text not null,
	password {{.Bytes}}, -- sealed
	keytab   {{.Bytes}}, -- sealed
	unique (org_id, position)
);

-- Users' own credentials, each for the own mailbox alone.
create table sign_in (
	org_id   bigint not null,
	user_id  bigint not null,
	login    text not null,
	password {{.Bytes}}, -- sealed
	saved_at bigint not null,
	primary key (org_id, user_id)
);
