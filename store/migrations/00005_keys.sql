-- The keys that seal, one set for each organization, wrapped by the master key. See vault.go.

create table data_key (
	org_id      bigint not null primary key,
	keyset      {{.Bytes}} not null, -- a Tink keyset, wrapped; empty = destroyed
	master      text not null,       -- where the key is kept that wraps it
	version     bigint not null,     -- raised by each change of the row
	made_at     bigint not null,     -- the key that seals now
	shredded_at bigint not null default 0
);
