"""Roll-ups of the logs: what they are, how a row gets in and out of them."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# Adds the rows of a relation to the roll-ups, or takes them out: a change is the same either way.
# `now - 25 hours`: the dashboard reads of 24. A lateness that is no usual number is put at the ends.
_CHANGE = """
    INSERT INTO log_task_counts AS c (task_id, status, n)
    SELECT task_id, status, {sign} count(*) FROM {rows} r GROUP BY task_id, status
    ON CONFLICT (task_id, status) DO UPDATE SET n = c.n + excluded.n;
    INSERT INTO log_hours AS c (hour, status, n)
    SELECT date_bin('1 hour', execution_time, 'epoch'), status, {sign} count(*)
    FROM {rows} r GROUP BY 1, status
    ON CONFLICT (hour, status) DO UPDATE SET n = c.n + excluded.n;
    INSERT INTO log_lateness AS c (span_seconds, start, status, is_first, bucket, n, lateness_ms)
    SELECT s.seconds, date_bin(s.seconds * interval '1 second', r.execution_time, 'epoch'),
        r.status, r.retry_count = 0, b.bucket, {sign} count(*),
        {sign} coalesce(sum(greatest(0.1, least(r.lateness_ms, 1e12))), 0)
    FROM {rows} r, unnest('{{60, 3600}}'::int[]) AS s (seconds),
        LATERAL (SELECT lateness_bucket(r.retry_count, r.lateness_ms) AS bucket) b
    WHERE r.execution_time >= statement_timestamp() - interval '25 hours'
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (span_seconds, start, status, is_first, bucket)
    DO UPDATE SET n = c.n + excluded.n, lateness_ms = c.lateness_ms + excluded.lateness_ms;
"""
_FOLDED = """(SELECT * FROM task_logs l WHERE l.feed_id > first AND l.feed_id <= last)"""
_GONE = """(SELECT * FROM gone WHERE feed_id <= last)"""


async def upgrade(db: BaseDBAsyncClient) -> str:
    return f"""
CREATE TABLE log_fold (
    id smallint NOT NULL PRIMARY KEY DEFAULT 1 CONSTRAINT log_fold_single CHECK (id = 1),
    counted bigint NOT NULL DEFAULT 0
);
CREATE TABLE log_task_counts (
    task_id uuid NOT NULL, status varchar(8) NOT NULL, n bigint NOT NULL,
    PRIMARY KEY (task_id, status)
) WITH (fillfactor = 50);
CREATE TABLE log_hours (
    hour timestamptz NOT NULL, status varchar(8) NOT NULL, n bigint NOT NULL,
    PRIMARY KEY (hour, status)
) WITH (fillfactor = 50);
CREATE TABLE log_lateness (
    span_seconds smallint NOT NULL, start timestamptz NOT NULL, status varchar(8) NOT NULL,
    is_first bool NOT NULL, bucket smallint NOT NULL,
    n bigint NOT NULL, lateness_ms float8 NOT NULL,
    PRIMARY KEY (span_seconds, start, status, is_first, bucket)
) WITH (fillfactor = 50);
CREATE TABLE removed_tasks (task_id uuid NOT NULL PRIMARY KEY);
-- The logs that are there are counted by the next folds, as if they had finished just now.
INSERT INTO log_fold (id) VALUES (1);
-- Nobody can tell any more which tasks were removed by hand, but for the logs that they left.
INSERT INTO removed_tasks
    SELECT DISTINCT task_id FROM task_logs l
    WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = l.task_id);

-- Of each hundred rows few are in these; a row that becomes SUCCESS is in none of them.
CREATE INDEX task_logs_task_failed ON task_logs (task_id, status, execution_time DESC, id DESC)
    WHERE status IN ('FAILED', 'RETRYING', 'SKIPPED', 'UNKNOWN');
CREATE INDEX task_logs_unnumbered ON task_logs (task_id)
    WHERE feed_id IS NULL AND status <> 'QUEUED';

-- Buckets are 5 % wide: the values of one lie between 1.05^n and 1.05^(n+1) ms.
CREATE FUNCTION lateness_bucket(retry_count smallint, lateness_ms float8) RETURNS smallint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN retry_count = 0 AND lateness_ms IS NOT NULL
        THEN floor(ln(greatest(0.1, least(lateness_ms, 1e12))) / ln(1.05::float8))::smallint
        ELSE '-32768'::smallint END
$$;

-- Counts up to so many more rows of the feed, and returns how many; 0 while somebody else changes
-- the roll-ups. Each statement after the lock sees whatever was committed before it.
CREATE FUNCTION fold_logs(at_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
    last bigint;
BEGIN
    SELECT f.counted INTO first FROM log_fold f WHERE f.id = 1 FOR UPDATE SKIP LOCKED;
    SELECT max(l.feed_id) INTO last FROM task_logs l;
    -- With no log at all, or while somebody else has the lock, one of them is null.
    IF last > first IS NOT TRUE THEN
        RETURN 0;
    END IF;
    last := least(last, first + at_most);
    {_CHANGE.format(sign="+", rows=_FOLDED)}
    DELETE FROM log_lateness
    WHERE start < statement_timestamp() - interval '26 hours' AND span_seconds IN (60, 3600);
    UPDATE log_fold SET counted = last WHERE id = 1;
    RETURN last - first;
END $$;

-- To be called after rows were loaded in bulk, or a status was changed by hand.
CREATE FUNCTION rebuild_log_counts() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    counted bigint;
BEGIN
    PERFORM FROM log_fold WHERE id = 1 FOR UPDATE;
    DELETE FROM log_task_counts;
    DELETE FROM log_hours;
    DELETE FROM log_lateness;
    UPDATE log_fold f SET counted = coalesce((SELECT min(l.feed_id) - 1 FROM task_logs l), 0)
    WHERE f.id = 1;
    LOOP
        EXIT WHEN fold_logs(1000000) = 0;
    END LOOP;
    SELECT f.counted INTO counted FROM log_fold f WHERE f.id = 1;
    RETURN counted;
END $$;

-- The lock comes first: a fold that saw a deleted row is then committed, and the row is counted;
-- one that comes later doesn't see it.
CREATE FUNCTION task_logs_uncount() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM gone WHERE feed_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    SELECT f.counted INTO last FROM log_fold f WHERE f.id = 1 FOR UPDATE;
    {_CHANGE.format(sign="-", rows=_GONE)}
    DELETE FROM log_task_counts c USING gone WHERE c.task_id = gone.task_id AND c.n = 0;
    DELETE FROM log_hours WHERE n = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER task_logs_uncounted AFTER DELETE ON task_logs
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION task_logs_uncount();

CREATE FUNCTION task_logs_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rebuild_log_counts();
    RETURN NULL;
END $$;
CREATE TRIGGER task_logs_truncated AFTER TRUNCATE ON task_logs
    FOR EACH STATEMENT EXECUTE FUNCTION task_logs_forget();

CREATE FUNCTION tasks_remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO removed_tasks SELECT g.id FROM gone g
    WHERE g.deleted_at IS NULL OR EXISTS (SELECT FROM task_logs l WHERE l.task_id = g.id)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER tasks_removed AFTER DELETE ON tasks
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tasks_remember();
    """


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
DROP TRIGGER tasks_removed ON tasks;
DROP TRIGGER task_logs_truncated ON task_logs;
DROP TRIGGER task_logs_uncounted ON task_logs;
DROP FUNCTION tasks_remember();
DROP FUNCTION task_logs_forget();
DROP FUNCTION task_logs_uncount();
DROP FUNCTION rebuild_log_counts();
DROP FUNCTION fold_logs(bigint);
DROP FUNCTION lateness_bucket(smallint, float8);
DROP INDEX task_logs_unnumbered, task_logs_task_failed;
DROP TABLE log_fold, log_task_counts, log_hours, log_lateness, removed_tasks;
    """


MODELS_STATE = (
    "eJztHWtz2zbyr2D0pemMm3P8Surc3IxiK4muip1a8uXa6oaGREjimAJUgoyqy+W/3y4IUh"
    "RfJvWwKVlfbBHAguAC2Bd2F99qY2EyW77sUHlfOyffapyOGfxYKD8gNTqZzEuxwKU9WzV0"
    "oYUqoT3pOrTvQuGA2pJBkclk37EmriU4Nr3mjExZbyTEPRkzKemQEcpNYrmSyP6ImZ7NXm"
    "JXpuhDXxYfFobq8i7vjBgxKQyMSoa1zB4Qh1qSSXL3lTkSRnF3QCQDuDtvAi2ZaVD3TnV2"
    "z9hEEhd66HuOFM4PkjhiekB6MwIDGQ4B/KDLpYAm1CXtX1tk6liuyzi2GKnhwGiY/4zdMD"
    "60YOCuEOqLPG796THDFUMGtQ581x//gWKLm+wvJoPHyb0xsJhtLsyEZWIHqtxwZxNVdnvb"
    "vHyvWiK2ekZf2N6Yz1tPZu5I8LC551nmS4TBuiHjzMGPj0wU92xbT2hQ5I8YClzHY+FQzX"
    "mByQbUs3G6a38feLyPs0z0slGjlS/xva//occYaW8YV9cdo93oGEYtsUxwLLE1oIv6guMS"
    "s7iLGPv23e93jhlVWsMXXHys37w4PvtR4UJId+ioSoW32ncFCAvFB1XYn6Nb/U8g/GJEnX"
    "SEB+1jKIeBLoPsoGCO7fleCtAXIGgDKK2N6V+GDWvXHcHjq8PDHBz/q36j0AytFJ4FbH6f"
    "JFzpqiO/DvE9x2+wZcvgOAqzi3g+KoTnoxw8HyXw7Fpj9l/BS+E5CrODeD47KYDms5NMLG"
    "PVIpI1XzI8x07iucP+ctPxHAOrMqprjPed2QSHsSpR7jT+3cFOxlL+aUcx++JT/d8K6eOZ"
    "rmldX30Imkdm4qJ1/S57BowxiCIshVtmL/h06CrPx5JL/6QQKT/JIeUnSVIeYC9NQnkY56"
    "mSyi7guhA1zyHmSVoeoOyezZKYvrSGTD5AaDRgDNm9mctkddBda3+s/3R0ekbEgFjm31xx"
    "z/jKROfdb51GPYZOARK9xcus2TlElddrbToSoPrY1hh1I1RKhOeCuiRBGyISPs6f7dLr+f"
    "S0yII+Pc1e0Vi3OAcTOrMFTSEc/2xfX2VzzghYbCZMq++S/8HHS7c6M7IOXQYRks828zkk"
    "zqXDXCeFdLTH1LabPAPXC4AxbMO4txDLMF7499Px0euzN1CrxogPr3PQ3/5Ub7WaV524Gu"
    "NS15PpNKTBvbFCaRPeTnmfJRWaELrS9KR+0Wn+q3FO/P9d3rwKSoJfXf6+3mw1Ls+J/38Z"
    "+vKmAHV5k0lb3iQUTIVbWLlUihQin01bEoBLzY22jlRlyT+2PD6glu05zHBHwG1Gwk6h8P"
    "lUJ7WDPfWJSTBfmWPTiTERttVPIezFqFCyl0pTo/Yvzc/nBP92OWDl+gsQJvy3DM0pItFk"
    "yzMJaWZsyYEFi3a1+Uj2sjXz8b550zCury6ANYQ/dSnMkS6EX8vM1c8F5urnzLn6OWuuht"
    "CYGZLBu80URp4tFmXB7xKROnp18vrkzfHZSUipwpI8cpWkVCazLSAzM2PoUYdyl2UYJB/e"
    "Hek9VXqH1DtGq1Fvd/TOWHgEGtYxPl1HK8OnZXbJq+MiNuTjbBPycXyj6DOz5Hy9s4aZuy"
    "MC9LT74dXKe+Dno6Pj49dHh8dnb05PXr8+fXMYboZkVd6ueNf8gBtjAfHJndIHwdM/kkyx"
    "8UANGufTcb4IGdeLNejL4Mej7o8rMX3x44bE1+anRrtT//R5QYa9rHcaWHO0IL8GpS/OYu"
    "s/7IR8aXY+Enwkv19fNeIHh2G7zu81HBP1XGFwMTWoGcVGUBwULUzw/My57AQvQu4nuKIT"
    "DByKLTfBi5BrmOAt0kK3YZbROWNwH/EXwIIe7d9PqWMaiRpxJLLaJqvGR+N4CeV0qCYJsY"
    "njjHjjXCj/lFqGr46uPXjIY8fw3VwKOu40UO4irtW/R9s8urdgH8SbEFeQO7+rO/SAof2+"
    "8EA0M8lAOMTi5E69zBZDeZf07Flftyu416ieyvnYRECezNFGvQn/nGyZf00/XKGlRJwQql"
    "Lcb08d4zxQm++kYXHDgTaJeX7I8BeFfFoN4nBlDWIlLbpCPKclhlkMB6se5jZIqYuxGvT2"
    "pK7LxhP3nAh4+NjpfCYOg6mU7gEB8o+F8G8sHKZ4h/R9MqcMntFG0FOLw54RLlwiGXfTXU"
    "rX/RL0QL3TnMH3Kb2LnL5DCUBygQyMWUNOoEwChVcHtlPh2SaxBfDBgAn6/qcwSMJCJrl3"
    "JN0qRud4vKRcMYdYJ9o3ZNtS/gQmujtT2w52k0RBDvcOfEoxI9YquK+iEFddUaIEOp+Jvx"
    "ESW5tyDBYgU4o+M9ZmHI50CMGylu8IeKXN3e2Lj43L21bjnAS/uvxT/eq23jon/v8uv6h3"
    "Lj4at5/PSfBrGWP3ul0GtH85iFXlVZME8PZoKGoHoGix8qrfOj0FsNj3EA1GMCVl5jwJvU"
    "WTPh0xjiTPksT02FvCUcQk/RHlw6IOgru0EkxGTdvibCmz7QLoFq0BOnBhzt2RJVUcHYhr"
    "uByG1ldYGt7k+S2CZ+HO9+tt4xZd9fz/Xd6+vbhotNvArv0fXX7T6Nz81rz6cE6CX3EHP4"
    "D6pfn5MxboH11+e/XL1fWXq3Oif1SAoyu/VUNZjZOTmu+AFgPddhvUOtzN+jYF8mUavRR1"
    "IFvDWoRaQcnansOsEjoW0AxnucPCRcitOSwM5Y4plUSvDTzo6TFlQHt+PGdgcUuOlloCMd"
    "CtWQPP8khk5LoTI0vAyOdFMdCleFHFZnaNbMn04LNRCRunIPa9LWgGVmNwMawOEHD78JqD"
    "vsvr23etBvl807hotps6mijcIqoSi6DAchUKbhr1VgzXNiCCMynL4joGt8d1AVybluwLxz"
    "R0tpOS8bXp0LsQy7LpMFt5b00maMdzxLi0UBaD3bPkKrPkYLYyFMRMfpyA2yGOvDaXf014"
    "kmjNDr2LgOwCoXr0oDsGazKNS+R56keAKryKa2ienNi0z9DvD88rgLcxB8+Z+2KMge4FrU"
    "17n/69y/dOOQPXPdNyMzyzwrqDPNcsiq1K+mb5x0RvyZ0+L1L+ud/UkGEc3RrKP11o3PWO"
    "Do/ODki35or58/fvZGq5IyIZrG/Y2H7OnXQHrY29ae9CVS2baLYLVXmyuSeXlSOXUX4I5C"
    "XNwSJbmQ0BqnywtqQCu5H0ilTt/WUPMufQVcZ3rVNv/2Jc3DRgSV+ek+hTl6un28+XkTr9"
    "pOsuG63GvE4/6brO9YcPrbBOPwV1N80PHxo389rg2a9vGzeN1nX9MqifP2v44Bw18rDMQe"
    "mrIkkMX2UnMXyVSGL4ZM6T26O1lTjXi/jRLGIzP7FVBGyf2KpYYitrUoaT+K13wboQy+xY"
    "JJXJSXYuk5NEMhMdB1HS7LwItXt4Xk/y2IrojqAavhcx3SZWdZCnOYLOaAyCVoX0RkdMz5"
    "X5BtVNHeKp3M+0GUrFx2gLjyNs+ydvIt+S6UgEjok6VgajZNBnLV1n3Mhb1qwv5p/4rmCQ"
    "W0JbTNs9qyfOWP5sNyds1A8ALmfijABtuxvXIxguq0ObPgovNcI9qHqQNo2gVUGj1kcxJT"
    "CWmU8yxIBQ4jtckBH9ypBSWA4J/b0Jmg+QglBO8CXkBUDcdi5+TNKjdXa8AgkaaYSVsaIE"
    "MJuwoyxHlPZnmNqWkk0h9y7Mu+XCXDLxVgVSbq33PPpZcbyWdpPK4Hph9YOcz462fJD5fc"
    "GgdlfdmyRHPQFfQlxm25pdjS3uuSoOXjOlt1o8hlpbgLgMFUN1JRKwLehipsRrh43F17RD"
    "nU2+LLj/qef175kKbfKDO31kYB8Dy5FuGKeM90Axchd6p/lwd8iAx9bQdw8kJyoVgC/Ors"
    "qG5YTy7GST+TpBHPYptYMH6PPZIaLs+OzwsNSx/CY0BuUmX1byCYEqdYS0F3728Vq7LexY"
    "0lAEOkXmEcJmlGdYSyJg8WQDAFehudSMhxyq2038kMtieM+TbK6vWws79l0z7i12++ld4+"
    "bFKzUTc6fjpKeSzwDLcqY51C5JnuuITdhL74/qaPe04QmPRURQppXeeGW6sWyQQnX0JZXr"
    "UjlhpytM8/oHNSY/HSa2XdliSP0EliMqy5gDY1D7XJYVO9vfm9yeixS6Z9rPxeR249uNsq"
    "49j1bnMhBtfzJK3IJe98m9f1cfJnnEeHjdT3Cb+LlSERSnQCsXlXNbGCU6WbjqJsln1t/9"
    "niFVnCFVZE811JX3IbtL2VaxFrk7i6m2hqUbF95coFdzQDzpi8nsrcpF6W+FEaOO22PUBb"
    "FLYBCfyn/FqHmgkrXihpgK516Zjuk94wRvx0rbXut/wXMJSNiybRWR8xjjyyRqmYPtzclV"
    "NydXJRnPfpo3N82OsNM8s3OcWgOAKmtoe4fWQLJog0adI3j41UWkDhm2LO7cSsk9rDtOXP"
    "aXe0AY7zuzCSyNt1CBooKfQL5P+Q8uiOMUBQI0+ahz6qkjQKDAlPA5bq3r63/v0FoFh1ZY"
    "yml3cueEiIQQu+Bdn8dX1pUjoSLE6T1jpjJGs1Sv1mh1LnFSTuz9SMsHiVNHOcFIN/R/Vx"
    "lefa0FiMqBcnQHTYUG/jLSVVZpNmbcRXMAo/0R8bPNJUnT2nvfE6YKEKbtM4LuveuL06Im"
    "/0pty7zxo7VS/Q3jTXJpkuU3Npxo6+JHaAEYufSzlkHBwJNoO+Fzn0AdsDOlWsgByaZHuS"
    "Qg+YNyIJnEW3VyTtzW/JIVqJT/rrI65hxq75BfOe3ygZCl5FznRys9PTWtUFaxitDMa8cC"
    "rTCNVOqaXAopVJvC9mvJnK8qNb+6bkxdpyMJ3nwOYpV/btPzTKA8B2Q6UvRHKXoCvoN46F"
    "cwWKhAEzQojWl27M29aAUCKUKEFjXRzCHWY6N5UnIYy3B5WiS2G1pl57g81dHdOeIe6JuG"
    "tIW7hPEzDrs1SS+DXOTBGsflO/DwHrMhXcMdUFvCuiJBgvgNwH0su+wSWITcmgXwjASUaC"
    "gofENmDEqOl2QcsNJZnGuhrQGH/VZJ9UiolFnCkjqYaOU9vpZEz8AxDWnps/Ay224Rcr/t"
    "qrztFJecOKK3zBVTCeCtmeuaMgP6qjfo4aBWOzOUFGE/PhMOWxH15Ysv3IMIzTmzaylqTK"
    "xFrjoTXPHZ9xsX1mt0e1/fwBhOLqegOuBIgEhLvIOO2nNFRN8jG0Cp22Z9rzVrnJb9ZRMv"
    "WEGP0d2WzKG0CLV7+syaMvZnKzPP6OJaP55Zj1tr8VRiWDPHrEdIv5DUOmxlWpt2o60lDf"
    "8C6JTDggcC9uZwTxyxl06q1iGirDEuz2F9xkHJZqkye91x6CzDdSUGGEP2o6cTbP9pX/pP"
    "L7q1H759/6FbS8mKC/LOFOUFtbr9k0RtmB94rgcUGr1BTWWLRxovJrDatYyxPpmi8/sf/4"
    "lNw15B3lUhLTrLuJzkEkJ6FG5rZrgWCjuSUNsWU8Jxu/UY7C2msubtpfTHl9JblKd6sEWr"
    "C8nneLF9ibz+GszPnggrT/lnoL/6gZKU1Z0b6MYOD7hy/YUDy8Kn0VE6TEASGcO8pLuybe"
    "g9K4jqVZMZq3oeOxcDs+Xvpz++eepTz00d4MTMSUsakraNRaljGtBm1HWxaDzCr3ireoL+"
    "BDApPgS1p/AtQNvOqxYufYK+RsvcHRuB27KVIMWY+XPeByTgwsC5x2NokFiC5WBapr9CgG"
    "PgrVHqcO953jCM7HJJcXbrFkiKNBtKCs9Opl1YBFPOUjLAZkcJhgCVv9pBGcKCCFH/vqd1"
    "GwVK3PzwzEw1a7UQpJhcnsyEXjEDy6ZvvcUQZcNhVKZdG5QdjRID2wVMP0ZIygJl9ly8oH"
    "kJBh0F3B4WHTpdKe+MgDkPhAf6fuCaTad0psU3OnCVMWCmj/KeB+uuiDmqzhyrP6qlWKJ0"
    "zUHuzZLzNg9Zn7J355qjgVYOBNK7pLK2m/Xc45xt3PnKHJl5t1w6aiMge/NOMfMObqoSGN"
    "bNdxC7G7keEd7osrSoDLyMLCssIwTZ38yWdTNbjPlhB08egPv9/xk+eUM="
)
