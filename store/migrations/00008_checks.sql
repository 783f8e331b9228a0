-- Runs of the connection test: the latest ones, with all that they found.

create table check_run (
	org_id   bigint not null,
	id       bigint not null, -- 1, 2, 3 …
	began_at bigint not null,
	took     bigint not null, -- microseconds
	run_by   text not null,
	server   text not null,
	agent    text not null,
	outside  text not null,   -- mailbox that Exchange had to refuse; '' = none was named
	stranger boolean not null, -- another User-Agent had to be refused
	findings text not null,   -- JSON
	primary key (org_id, id)
) {{.Clustered}};
