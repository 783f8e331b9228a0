-- Requests of the connection test and of the search for a server: they ask on purpose for what
-- Exchange must refuse, and for what it may.

alter table access add column test boolean not null default false;
alter table access_day add column test_refused bigint not null default 0; -- of those refused
