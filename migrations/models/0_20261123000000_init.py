from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE TABLE IF NOT EXISTS "tasks" (
    "id" UUID NOT NULL PRIMARY KEY,
    "name" VARCHAR(100) NOT NULL,
    "schedule" VARCHAR(120) NOT NULL,
    "timezone" VARCHAR(64) NOT NULL,
    "webhook_url" TEXT NOT NULL,
    "webhook_url_masked" VARCHAR(400) NOT NULL,
    "webhook_id" VARCHAR(20) NOT NULL,
    "webhook_key" BYTEA NOT NULL,
    "origin" VARCHAR(255) NOT NULL,
    "payload" JSON NOT NULL,
    "max_retry" SMALLINT NOT NULL,
    "status" VARCHAR(8) NOT NULL,
    "status_reason" TEXT,
    "failure_threshold" SMALLINT NOT NULL,
    "overlap_policy" VARCHAR(5) NOT NULL,
    "misfire_policy" VARCHAR(9) NOT NULL,
    "misfire_grace_seconds" INT NOT NULL,
    "delivery_guarantee" VARCHAR(13) NOT NULL,
    "version" BIGINT NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ
);
COMMENT ON COLUMN "tasks"."webhook_url" IS 'encrypted';
COMMENT ON COLUMN "tasks"."webhook_key" IS 'SHA-256 of id/token';
COMMENT ON COLUMN "tasks"."origin" IS 'whose limits and outages it shares';
COMMENT ON COLUMN "tasks"."status" IS 'ACTIVE: ACTIVE\nINACTIVE: INACTIVE\nFAILED: FAILED';
COMMENT ON COLUMN "tasks"."overlap_policy" IS 'SKIP: SKIP\nALLOW: ALLOW';
COMMENT ON COLUMN "tasks"."misfire_policy" IS 'SKIP: SKIP\nFIRE_ONCE: FIRE_ONCE\nFIRE_ALL: FIRE_ALL';
COMMENT ON COLUMN "tasks"."delivery_guarantee" IS 'AT_LEAST_ONCE: AT_LEAST_ONCE\nAT_MOST_ONCE: AT_MOST_ONCE';
COMMENT ON TABLE "tasks" IS 'One webhook message and its schedule.';
CREATE TABLE IF NOT EXISTS "task_cursors" (
    "task_id" UUID NOT NULL PRIMARY KEY,
    "cursor" TIMESTAMPTZ NOT NULL,
    "failures_in_row" INT NOT NULL DEFAULT 0
);
COMMENT ON TABLE "task_cursors" IS 'Every tick of the task up to `cursor` is accounted for in `task_logs`.';
CREATE TABLE IF NOT EXISTS "task_logs" (
    "id" UUID NOT NULL PRIMARY KEY,
    "run_id" UUID NOT NULL,
    "task_id" UUID NOT NULL,
    "webhook_key" BYTEA NOT NULL,
    "trigger" VARCHAR(8) NOT NULL,
    "scheduled_for" TIMESTAMPTZ NOT NULL,
    "execution_time" TIMESTAMPTZ NOT NULL,
    "deadline_at" TIMESTAMPTZ NOT NULL,
    "status" VARCHAR(8) NOT NULL,
    "retry_count" SMALLINT NOT NULL DEFAULT 0,
    "claimed_by" UUID,
    "started_at" TIMESTAMPTZ,
    "finished_at" TIMESTAMPTZ,
    "http_status" SMALLINT,
    "duration_ms" DOUBLE PRECISION,
    "lateness_ms" DOUBLE PRECISION,
    "discord_message_id" VARCHAR(20),
    "skipped_from" TIMESTAMPTZ,
    "skipped_count" INT,
    "message" TEXT,
    "feed_id" BIGINT,
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
COMMENT ON COLUMN "task_logs"."run_id" IS 'shared by all attempts of one run';
COMMENT ON COLUMN "task_logs"."webhook_key" IS 'the lane it waits in';
COMMENT ON COLUMN "task_logs"."trigger" IS 'SCHEDULE: SCHEDULE\nMANUAL: MANUAL\nCATCH_UP: CATCH_UP';
COMMENT ON COLUMN "task_logs"."scheduled_for" IS 'the tick';
COMMENT ON COLUMN "task_logs"."execution_time" IS 'when it is due; never changes';
COMMENT ON COLUMN "task_logs"."deadline_at" IS 'after this its run is given up';
COMMENT ON COLUMN "task_logs"."status" IS 'QUEUED: QUEUED\nSUCCESS: SUCCESS\nRETRYING: RETRYING\nFAILED: FAILED\nSKIPPED: SKIPPED\nUNKNOWN: UNKNOWN';
COMMENT ON COLUMN "task_logs"."started_at" IS 'when it was claimed to be sent';
COMMENT ON COLUMN "task_logs"."feed_id" IS 'its place in the order of commits';
COMMENT ON TABLE "task_logs" IS 'One attempt: one HTTP request, or one tick (or range of ticks) that was deliberately not sent.';
CREATE TABLE IF NOT EXISTS "audit_logs" (
    "id" UUID NOT NULL PRIMARY KEY,
    "at" TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "actor" VARCHAR(100) NOT NULL,
    "action" VARCHAR(14) NOT NULL,
    "task_id" UUID,
    "changes" JSON NOT NULL,
    "ip" VARCHAR(45),
    "request_id" VARCHAR(64)
);
COMMENT ON COLUMN "audit_logs"."action" IS 'TASK_CREATED: TASK_CREATED\nTASK_UPDATED: TASK_UPDATED\nTASK_DELETED: TASK_DELETED\nTASK_TOGGLED: TASK_TOGGLED\nTASK_TRIGGERED: TASK_TRIGGERED\nTASKS_RELOADED: TASKS_RELOADED\nTASK_FAILED: TASK_FAILED';
COMMENT ON TABLE "audit_logs" IS 'One change; `changes` is {field: {\"from\": …, \"to\": …}} with secrets masked.';
CREATE TABLE IF NOT EXISTS "engine_instances" (
    "id" UUID NOT NULL PRIMARY KEY,
    "seen_at" TIMESTAMPTZ NOT NULL,
    "started_at" TIMESTAMPTZ NOT NULL,
    "roles" VARCHAR(64) NOT NULL
);
COMMENT ON TABLE "engine_instances" IS 'A running copy; one whose heartbeat stopped is dead, and its work is taken over.';
CREATE TABLE IF NOT EXISTS "engine_state" (
    "id" SMALLINT NOT NULL PRIMARY KEY DEFAULT 1,
    "canary" TEXT
);
COMMENT ON TABLE "engine_state" IS 'One row: a known text, encrypted, by which a copy with the wrong keys is found at its start.';
CREATE TABLE IF NOT EXISTS "feed_counter" (
    "id" SMALLINT NOT NULL PRIMARY KEY DEFAULT 1,
    "n" BIGINT NOT NULL DEFAULT 0
);
COMMENT ON TABLE "feed_counter" IS 'The last feed_id given; one row, locked as the last statement of each finish.';
CREATE TABLE IF NOT EXISTS "origins" (
    "origin" VARCHAR(255) NOT NULL PRIMARY KEY,
    "next_slot_at" TIMESTAMPTZ,
    "held_until" TIMESTAMPTZ,
    "hold_seconds" DOUBLE PRECISION,
    "down_since" TIMESTAMPTZ
);
COMMENT ON COLUMN "origins"."next_slot_at" IS 'when its budget is full again';
COMMENT ON COLUMN "origins"."hold_seconds" IS 'the last hold; the next one is longer';
COMMENT ON TABLE "origins" IS 'A server that webhooks live on: its budget, whether it holds us off, whether it is down.';
CREATE TABLE IF NOT EXISTS "webhook_lanes" (
    "webhook_key" BYTEA NOT NULL PRIMARY KEY,
    "origin" VARCHAR(255) NOT NULL,
    "next_at" TIMESTAMPTZ,
    "open_at" TIMESTAMPTZ,
    "owner" UUID,
    "recent_sends" TIMESTAMPTZ[] NOT NULL DEFAULT '{}',
    "channel_id" VARCHAR(20),
    "dead_reason" TEXT
);
COMMENT ON COLUMN "webhook_lanes"."next_at" IS 'when to claim it next; null: nothing waits';
COMMENT ON COLUMN "webhook_lanes"."open_at" IS 'its limits allow no request before this';
COMMENT ON COLUMN "webhook_lanes"."owner" IS 'the instance with an open request';
COMMENT ON TABLE "webhook_lanes" IS 'One webhook: the unit of work, of order and of rate limiting; one open request at most.';
CREATE TABLE IF NOT EXISTS "aerich" (
    "id" SERIAL NOT NULL PRIMARY KEY,
    "version" VARCHAR(255) NOT NULL,
    "app" VARCHAR(100) NOT NULL,
    "content" JSONB NOT NULL
);"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
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
