-- From where the requests of an organization leave: the addresses of its pool, and its proxy.

create table egress (
	org_id         bigint not null primary key,
	proxy          text not null,
	proxy_login    text not null,
	proxy_password {{.Bytes}}, -- sealed
	saved_at       bigint not null
);

create table egress_address (
	org_id      bigint not null,
	position    bigint not null,
	local       text not null,
	public      text not null, -- '' = as local
	valid_from  bigint not null,
	valid_until bigint not null,
	primary key (org_id, position)
) {{.Clustered}};
