-- When a session was used last: one of an administrator ends when it lies idle.

alter table session add column used_at bigint not null default 0;
