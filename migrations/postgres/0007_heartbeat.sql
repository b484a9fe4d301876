-- One row that is written now and then, to see whether the database takes writes.
create table heartbeat (
    heartbeat_id smallint primary key check (heartbeat_id = 1),
    beat_at bigint not null,
    ballast bytea
);

comment on column heartbeat.beat_at is 'When it was last written.';
comment on column heartbeat.ballast is
    'So much room as the next events may need; only there while a disk that was full is tried again.';

-- It is to take the room that it stands for.
alter table heartbeat alter column ballast set storage external;

insert into heartbeat (heartbeat_id, beat_at) values (1, 0);
