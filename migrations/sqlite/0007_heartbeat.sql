-- One row that is written now and then, to see whether the database takes writes.
create table heartbeat (
    heartbeat_id integer primary key check (heartbeat_id = 1),
    -- When it was last written.
    beat_at integer not null,
    -- So much room as the next events may need; only there while a disk that was full is tried again.
    ballast blob
) strict;

insert into heartbeat (heartbeat_id, beat_at) values (1, 0);
