-- What the operator decided about the installation as a whole, in one row, and the
-- organizations by name. That no second organization comes to be where the mode allows one
-- is the database's to see to, whatever happens at the same time: each tenant carries the
-- mode, which can be no other than the installation's, and only "multi" may stand twice.

create table installation (
	id     bigint primary key check (id = 1),
	mode   text not null unique check (mode in ('multi', 'single', 'on-premises')),
	ranges text not null -- private addresses that may be connected to, as CIDR, separated by spaces
);
insert into installation (id, mode, ranges) values (1, 'single', '');

create table tenant (
	org_id bigint not null primary key references org (id),
	name   text not null unique,
	mode   text not null references installation (mode) on update cascade
);
create unique index tenant_alone on tenant (mode) where mode <> 'multi';
insert into tenant (org_id, name, mode) select id, 'main', 'single' from org;
