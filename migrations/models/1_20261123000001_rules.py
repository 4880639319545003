"""What the ORM can't declare: storage parameters, checks, partial indexes, triggers, single rows."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
-- Room on each page, so that an update finds a place beside its row and touches no index (HOT).
ALTER TABLE tasks SET (fillfactor = 80);
ALTER TABLE task_cursors SET (fillfactor = 50);
ALTER TABLE webhook_lanes SET (fillfactor = 50);
ALTER TABLE task_logs SET (fillfactor = 80);

ALTER TABLE tasks
    ADD CONSTRAINT tasks_status_known CHECK (status IN ('ACTIVE', 'INACTIVE', 'FAILED')),
    ADD CONSTRAINT tasks_overlap_known CHECK (overlap_policy IN ('SKIP', 'ALLOW')),
    ADD CONSTRAINT tasks_misfire_known CHECK (misfire_policy IN ('SKIP', 'FIRE_ONCE', 'FIRE_ALL')),
    ADD CONSTRAINT tasks_guarantee_known
        CHECK (delivery_guarantee IN ('AT_LEAST_ONCE', 'AT_MOST_ONCE')),
    ADD CONSTRAINT tasks_name_given CHECK (name = btrim(name) AND name <> ''),
    ADD CONSTRAINT tasks_max_retry_range CHECK (max_retry BETWEEN 0 AND 10),
    ADD CONSTRAINT tasks_failure_threshold_range CHECK (failure_threshold BETWEEN 1 AND 100),
    ADD CONSTRAINT tasks_misfire_grace_range CHECK (misfire_grace_seconds BETWEEN 0 AND 86400),
    ADD CONSTRAINT tasks_webhook_key_digest CHECK (octet_length(webhook_key) = 32);
ALTER TABLE task_cursors
    ADD CONSTRAINT task_cursors_failures_range CHECK (failures_in_row >= 0);
ALTER TABLE task_logs
    ADD CONSTRAINT task_logs_status_known CHECK
        (status IN ('QUEUED', 'SUCCESS', 'RETRYING', 'FAILED', 'SKIPPED', 'UNKNOWN')),
    ADD CONSTRAINT task_logs_trigger_known CHECK (trigger IN ('SCHEDULE', 'MANUAL', 'CATCH_UP')),
    ADD CONSTRAINT task_logs_retry_range CHECK (retry_count BETWEEN 0 AND 10),
    ADD CONSTRAINT task_logs_finished CHECK
        ((status = 'QUEUED') = (finished_at IS NULL));
ALTER TABLE audit_logs
    ADD CONSTRAINT audit_logs_action_known CHECK
        (action IN ('TASK_CREATED', 'TASK_UPDATED', 'TASK_DELETED', 'TASK_TOGGLED',
                    'TASK_TRIGGERED', 'TASKS_RELOADED', 'TASK_FAILED'));
ALTER TABLE feed_counter ADD CONSTRAINT feed_counter_single CHECK (id = 1);
ALTER TABLE engine_state ADD CONSTRAINT engine_state_single CHECK (id = 1);

CREATE UNIQUE INDEX tasks_name ON tasks (name) WHERE deleted_at IS NULL;
CREATE INDEX tasks_created ON tasks (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX tasks_status ON tasks (status, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX tasks_webhook_key ON tasks (webhook_key) WHERE deleted_at IS NULL;
CREATE INDEX tasks_webhook_id ON tasks (webhook_id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_deleted ON tasks (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE UNIQUE INDEX task_logs_one_per_tick ON task_logs (task_id, scheduled_for, retry_count)
    WHERE trigger <> 'MANUAL';
CREATE INDEX task_logs_task ON task_logs (task_id, execution_time DESC, id DESC);
CREATE INDEX task_logs_time ON task_logs (execution_time DESC, id DESC);
CREATE INDEX task_logs_queue ON task_logs (webhook_key, scheduled_for) WHERE status = 'QUEUED';
CREATE INDEX task_logs_queued_task ON task_logs (task_id) WHERE status = 'QUEUED';
CREATE INDEX task_logs_failed ON task_logs (status, execution_time DESC, id DESC)
    WHERE status IN ('FAILED', 'RETRYING', 'SKIPPED', 'UNKNOWN');
CREATE UNIQUE INDEX task_logs_feed ON task_logs (feed_id) WHERE feed_id IS NOT NULL;

CREATE INDEX webhook_lanes_next ON webhook_lanes (origin, next_at);
CREATE INDEX audit_logs_at ON audit_logs (at DESC, id DESC);
CREATE INDEX audit_logs_task ON audit_logs (task_id, at DESC, id DESC);

INSERT INTO feed_counter (id) VALUES (1);
INSERT INTO engine_state (id) VALUES (1);

CREATE FUNCTION tasks_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A new encryption of the same URL is no change of the task.
    IF to_jsonb(NEW) - 'webhook_url' IS DISTINCT FROM to_jsonb(OLD) - 'webhook_url' THEN
        NEW.version := OLD.version + 1;
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tasks_version BEFORE UPDATE ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_raise_version();

CREATE FUNCTION tasks_keep_companions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Lanes are claimed by origin, so each origin needs its row.
    INSERT INTO origins (origin) VALUES (NEW.origin) ON CONFLICT DO NOTHING;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO task_cursors (task_id, cursor) VALUES (NEW.id, clock_timestamp());
    ELSIF NEW.schedule <> OLD.schedule OR NEW.timezone <> OLD.timezone
        OR (NEW.status = 'ACTIVE' AND OLD.status <> 'ACTIVE') THEN
        UPDATE task_cursors SET cursor = clock_timestamp() WHERE task_id = NEW.id;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.webhook_key <> OLD.webhook_key
        OR (NEW.status = 'ACTIVE' AND OLD.status <> 'ACTIVE')) THEN
        UPDATE task_cursors SET failures_in_row = 0
            WHERE task_id = NEW.id AND failures_in_row <> 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tasks_companions AFTER INSERT OR UPDATE ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_keep_companions();
    """


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
DROP TRIGGER tasks_companions ON tasks;
DROP TRIGGER tasks_version ON tasks;
DROP FUNCTION tasks_keep_companions();
DROP FUNCTION tasks_raise_version();
DELETE FROM engine_state;
DELETE FROM feed_counter;
DROP INDEX tasks_name, tasks_created, tasks_status, tasks_webhook_key, tasks_webhook_id,
    tasks_deleted, task_logs_one_per_tick, task_logs_task, task_logs_time, task_logs_queue,
    task_logs_queued_task, task_logs_failed, task_logs_feed, webhook_lanes_next, audit_logs_at,
    audit_logs_task;
ALTER TABLE tasks DROP CONSTRAINT tasks_status_known, DROP CONSTRAINT tasks_overlap_known,
    DROP CONSTRAINT tasks_misfire_known, DROP CONSTRAINT tasks_guarantee_known,
    DROP CONSTRAINT tasks_name_given, DROP CONSTRAINT tasks_max_retry_range,
    DROP CONSTRAINT tasks_failure_threshold_range, DROP CONSTRAINT tasks_misfire_grace_range,
    DROP CONSTRAINT tasks_webhook_key_digest;
ALTER TABLE task_cursors DROP CONSTRAINT task_cursors_failures_range;
ALTER TABLE task_logs DROP CONSTRAINT task_logs_status_known,
    DROP CONSTRAINT task_logs_trigger_known, DROP CONSTRAINT task_logs_retry_range,
    DROP CONSTRAINT task_logs_finished;
ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_action_known;
ALTER TABLE feed_counter DROP CONSTRAINT feed_counter_single;
ALTER TABLE engine_state DROP CONSTRAINT engine_state_single;
ALTER TABLE tasks RESET (fillfactor);
ALTER TABLE task_cursors RESET (fillfactor);
ALTER TABLE webhook_lanes RESET (fillfactor);
ALTER TABLE task_logs RESET (fillfactor);
    """


MODELS_STATE = (
    "eJztHWt32rjyr+jwZbvnsL0NSZOU3nPPoYSmbClkA9nugz2OYgvwiZFYWy6b29v/fmfkB8"
    "av8GwM4UtiSxpZzIzmIY1GX0tjYTDLedmjzn2pSr6WOB0zeJgrL5MSnUxmpVgg6Z2lGkpo"
    "oUronSNtqksoHFDLYVBkMEe3zYk0BcemHc7IlN2NhLgnY+Y4dMgI5QYxpUMcfcQM12IvsS"
    "tD6NCXyYcLQ/V5n/dGjBgUBkYdhrXMGhCbmg5zyO0XZjswitsycRjA3boTaMkMjcpb1dk9"
    "YxOHSOhBd21H2D84xBbTMrl7IDCQ4RDAy33uCGhCJen+0iJT25SScWwxUsOB0TDvHbthfG"
    "jCwKUQ6he53PzbZZoUQwa1NvyuP/+CYpMb7B/mBK+Te21gMsuYo4RpYAeqXJMPE1V2c9O8"
    "eK9aIrbuNF1Y7pjPWk8e5EjwsLnrmsZLhMG6IePMxh8fIRR3LcsnaFDkjRgKpO2ycKjGrM"
    "BgA+paSO7Svwcu15HKxGcbNVrnJX737D/+GCPtNa3d6WndRk/TSgk2wbHEeMAv0gVHFjO5"
    "RIx9/eb1O8OMKi3hB+ofatcvjk9/VLgQjhzaqlLhrfRNAQKjeKAK+zN0q/8JhNdH1E5HeN"
    "A+hnIY6CrIDgpm2J7NpQB9AYK2gNLSmP6jWcC7cgSvR69e5eD419q1QjO0UngWMPk9kdD2"
    "qypeHeJ7ht9gyi6D4yjMPuK5shCeKzl4riTwLM0x+6/gS+E5CrOHeD49WQDNpyeZWMaqeS"
    "T7eklzbSuJ5x77R6bjOQZWZFSXGNfthwkOY12h3Gv81sNOxo7ztxXF7ItPtd8U0scPfk2r"
    "074MmkcoUW913mVTQBuDKcJStGU2w6dDF5keK7L+yUKi/CRHlJ8kRXmAvTQL5XGcp1oq+4"
    "DrhaR5jjBPyvIAZffsIYnpC3PInEcEjQ8YQ/bdg2ROcdBd6n6o/VR5fUrEgJjGv6S4Z3xt"
    "ofPu916jFkOnAIve5Mvw7AyiyPxamo4EuD6WOUbfCJ0S4UpwlxzwhogDP86j9tL8/Pr1Ig"
    "z9+nU2R2PdPA0m9MESNEVw/NzttLM1ZwQsRgnD1CX5H/x4RxaHIpvwZRAh+WozX0MiLW0m"
    "7RTR0R1Ty2ryDFzPAcawDePeQSzDeOHfT8eVs9NzqFVjxJezHPR3P9VarWa7F3djJJWuky"
    "5DGtwdK5Q24euU6yzp0ITQhZYntXqv+WujSrz/fd5sByXBU5+/rzVbjYsq8f6vIl/OF5Au"
    "55my5TzhYCrcAudSR6QI+WzZkgBciTb+6khRWP572+MDalquzTQ5Am0zElaKhM+XOqkdHK"
    "RPzIL5wmyLTrSJsEw9RbAvJoWSvRRaGnU/Nq+qBP/2OWCl8xkEE/5bReYsYtFk2zMJa2Zs"
    "OgMTmHY9eiR72Rl6vG9eN7ROuw6qIXz0S4FGfiE8rUKrNwvQ6k0mrd5k0WoIjZnmMPi2ka"
    "LIs82iLPh9ElKVo5Ozk/Pj05NQUoUleeIqKakMZpkgZh60oUttyiXLWJB8fHak91ToGVLr"
    "aa1GrdvzZ8bcK8iwnvapE60M31aZJUfHi6whH2cvIR/HJ4q/Z5ak1ztzmDk7IkBPOx+O1p"
    "4DbyqV4+Ozyqvj0/PXJ2dnr89fhZMhWZU3K941L3FizCE+OVN0MDy9LcmUNR6owcX5dJzP"
    "Q8b9Yh/0ZfDwXedHW0xf/Lgl87X5qdHt1T5dzdmwF7VeA2sqc/ZrUPriNMb/YSfkc7P3ge"
    "Ar+aPTbsQ3DsN2vT9KOCbqSqFxMdWoEcVGUBwUzRF4tue8LIHnIQ8ELiiBQUOx1Qg8D7kB"
    "Au+QF7oLVMbgjMF9JF4AC+6ofj+ltqElakRFZLVNVo0r43gJ5XSoiITYxHFGonHqKj6llB"
    "Gr49eWH4vY0bwwlwUDdxpodxFp6ve4No/hLdgHcSdECnLrdXWLETBU14ULpplBBsImJie3"
    "6mOWGDq3yciezXW7RniN6mm5GJsIyJMF2qgv4Z+THYuv0UMOXcrECaEKpf0O0jGuA/3lO0"
    "czuWZDmwSdH1v4i0I+rQfxam0PYi0vukA6pyWGWQoHqx7XNiipF1M1GO1JpWTjiawSAS8f"
    "er0rYjMgpSPLBMQ/Fiqd8QJebMqHTGkPKHF+9MIzp9QhuFpwp9jEeiBcSOIwLtODS7f3OY"
    "xKvfW1hRdnehvZkYcSm0FjVGrMHHICZQ5IfbWJOxWuZRBLwIcDxejFpMJwCQsV5yG4dKeU"
    "n+3yJW2NGcQm0b6l9S4VY2BgCDS1rGBeOThfcBbBT1lsYWsd3BfRsCuuebEEOp9JDBIKW4"
    "tyPEAAgh3jaMztBCH5xwpWXQ2PgBd6Cbxb/9C4uGk1qiR46vNPtfZNrVUl3v8+r9d69Q/a"
    "zVWVBE+rLIBvOozAjzkHU2t5dyUBvDtei5oBaFqszfU757sAFnUX0aAFJFmG5knoHSL6dM"
    "Q4ijwTTFmXvSUcTUyij9DeXTBocJ84wWDUsEzOVlrKnQPdIR6gAwk0lyPTUWfrwFxDdhia"
    "X4A13MnzY4JnEeL3y03jBsP3vP993r2p1xvdLqhr76HPrxu969+b7csqCZ7iQX8A9bF5dY"
    "UF/kOf37Q/tjuf21XiPxRAo6tYVk2tJCeJmh+UFgPd9XWpTYSg6RYF8WVodynuQLaHNQ+1"
    "hpO1OxtcS/hYIDPs1TYQ5yF3ZgMxtDtwDc3nDdz8uWNqAe356ZyByU1ntBILxEB3hgee5T"
    "bJSMqJlmVg5OuiGOhKuqhglN2gWjJc+NnohI1TEPveEjQDqzG4GFYHCLh7eM1B30Xn5l2r"
    "Qa6uG/Vmt+mfMAqniKrEIigwpULBdaPWiuHaAkRw5jjL4joGd8D1Arg2TEcXtqH5GVCWPH"
    "ObDr0P51u2ffTWuTcnE1zHs8V4aaMsBntQyUVWyQG1MhzETH2cgNsjjbyxYwC+4EmiNfs4"
    "XgRkHwTVdz+Ix4An07REXvR+BKjAXFzC5cmJRXWGsYC4XwG6jdm4z6yLMR5+X3C16RDnfw"
    "gD36sA4ZprmDIjWiusK+eFa1FstWS8lrdN9Jbc+vtFKmb3qxoyjKNfQvunD437buVV5bRM"
    "+iUpZu/fvpGpKUfEYcDfMLG9PDzpoVpb+9IhhKpYa6LZIVTLi82DuCycuIzqQxAvaQEW2c"
    "5sCFDkjbUVHditpFykau6vupE5gy4yvku9WvejVr9uAEtfVEn0rc/V283VRaTOf/PrLhqt"
    "xqzOf/Prep3Ly1ZY578FddfNy8vG9aw2ePfqu9p1o9WpXQT1s3cfPthHjbysslF6tEhiw6"
    "PsxIZHicSGTxY8uTte2xL7epE4mnls5ie7ioAdkl0tluzKnCyjSbzW+7C6EMv2uEh6k5Ps"
    "/CYniQQn/omIJZed56H2D8+bSShbEN+xoTKWh2ZAigcZa1HO8yO9/Oea6Tde0JusYdQZBw"
    "IQXUwe3qpjA15SwxGjtrxjVBJHClxvVaGKjBrlMBn8VNj3WCrpPeMEkxslnchtfOC5+I47"
    "e+QU8/KvElMzAyuU83jYukmJ1CxK3NSBzNsjsy2sNCM6x/4IAIrsuR5sj8Cy6EoqcwwPr3"
    "oRq8MJWy60fm2LaZVQcg98x4kEd6xMwqz36gqY6cjUR9ACbQZvCRk3naa2ADsCD+2iUTAQ"
    "LpgJYD6oe2lQrKQvYW/zYxu2RPLj0NbYJlzBDkmbV+un+Fo94iwnwQUweVqy5Rw/P4TYBx"
    "fpe2x0F0RsvWfMqKvMNKkJeaLVuWJLbbvrkZaPiq2eOqbqSOLv2HvHdDx/Rl1chZkDwIeh"
    "3qVWqqmSimPGJW6UMwpCxgsZTsqpjfd+EEwFEExLZnIsQA7H9U+6fIfYjoLIoo53RUWKGO"
    "qEl1dkSyDvgouFV2kcZn9RZwUx/Yl3vt8hmJ4VRERVGSV3rgFzvQzWjJrxeMYDk3k7xMV8"
    "EIO5ClxoAWsobbVmex9aQyQ9/f0hq4ml7YTcbu52kBzRBbaT5lhCruDix2F3Jgo3OBwV8L"
    "gy/F1MrDKkG0hKsXPu/wh/A9hIZspda/ksMA+5MwzwLBd5UHhnZ2XPOVUSByz0sZJSaDfj"
    "sN8qMxoFlTKxYZ5b4O17vsDTnzwBjak5pr/js8y0m4c8TLuiTbuCWK6fPbuuRXnq4l+0Ot"
    "eGDRJNYfqm5W+krqo5CKylHFjc6iurxGUqslzdpYa3SUv/ejVgC88dFhPQ0f4+Ny7IjYEu"
    "uXdYb/o7a9ixRUvp9aRWbZ7vF6bvyrZQn94nKNTuxFbuDFSW/IoOwE7a/lJ4SRHQd8Vf8V"
    "b1VMUEoyOMYVAJ6p6fI4CycAU+iIDtDh+g+xdc6GlZYor5YgM1cMcwc6zK2PQMmWDK07In"
    "ZkfPhACFj05VzkEQOeVtAVI+ZwGsTe4lgldtpjMuwbNKdchqtk0fsqL/5gFjeP/uwavdv6"
    "0L7+1Fv/TD128/9EvbPoPR++PPv1JigTmzloyknIfah23CbR/cx9C9FS4BjYHtA6af0YZs"
    "jdmmPiqlnX70asq5Zx9nbR7zHLORv+GtzrV3OX1mLKzftZlMA9mOWeYtdtnCNvsOu4Nrlu"
    "Ga4aRaAsN+8z3E7lYO8MEXJUtLSoLHZTIMhhnI4exQ1tmhmPGLHTy5Mvv2fynIDwc="
)
