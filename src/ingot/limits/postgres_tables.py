"""The limiter's tables and the one function that decides over a round, as PostgreSQL reads them.

    limit_state    a partition's levels, and the microsecond they were right at
    limit_leases   what runs there, by when its lease ends unless it is renewed
    limit_nodes    the processes, by when they were last heard of

UNLOGGED: no write-ahead log, and empty after a crash, which costs a burst. The function locks all partitions of
a round in one order, so that rounds of several processes never wait for each other in a circle. It knows no
policy: `gcra` says up to which level something passes and what it costs; it drains, compares and adds, by the
database's clock. The name ends in a version: processes of two releases may run side by side.
"""

LOCK = 7_310_579_628_463_001
"""Of the advisory lock under which tables are made: any number that nobody else takes."""

TABLES = """
CREATE UNLOGGED TABLE IF NOT EXISTS limit_state (
  partition text PRIMARY KEY,
  requests bigint NOT NULL DEFAULT 0,
  tokens bigint NOT NULL DEFAULT 0,
  at bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE IF NOT EXISTS limit_leases (
  partition text NOT NULL,
  lease text NOT NULL,
  until bigint NOT NULL,
  PRIMARY KEY (partition, lease)
);
CREATE UNLOGGED TABLE IF NOT EXISTS limit_nodes (
  node text PRIMARY KEY,
  seen bigint NOT NULL
)
"""

# A command is [kind, name, micros, claims]:
#   reserve   0, lease, how long, [[partition, request rate, most, cost, token rate, most, cost, places (-1: any)]...]
#   settle    1, lease, 0,        [[partition, request rate, token rate, by how much its level of tokens moves]...]
#   beat      2, node,  how long a node counts as alive, []
#   sweep     3, node,  the same, []: a beat that also removes what has been idle for an hour: a debt that has
#                           not drained by then is forgotten
#   renew     4, "",    how long, [[partition, [lease...]]]
#   give back 5, lease, when it was charged, [[partition, request rate, cost, token rate, cost]...]
# The division keeps the product within a bigint. 9000000000000000 is CEILING of `gcra`.
CODE = """
CREATE OR REPLACE FUNCTION ingot_limits_v2_left(level bigint, rate bigint, elapsed bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN elapsed <= 0 THEN level WHEN elapsed > level / rate THEN 0 ELSE level - elapsed * rate END
$$;

CREATE OR REPLACE FUNCTION ingot_limits_v2(commands jsonb, fixed bigint) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  names text[];
  locked bigint;
  moment bigint;
  command jsonb;
  claim jsonb;
  state limit_state;
  used bigint;
  spent bigint;
  running bigint;
  elapsed bigint;
  pass boolean;
  answer jsonb;
  answers jsonb := '[]';
BEGIN
  SELECT array_agg(DISTINCT c ->> 0 ORDER BY c ->> 0) INTO names
    FROM jsonb_array_elements(commands) AS e, jsonb_array_elements(e -> 3) AS c;
  WHILE names IS NOT NULL LOOP
    INSERT INTO limit_state (partition) SELECT unnest(names) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM limit_state WHERE partition = ANY (names) ORDER BY partition FOR UPDATE;
    GET DIAGNOSTICS locked = ROW_COUNT;
    EXIT WHEN locked = cardinality(names);  -- else an idle row was swept away in between
  END LOOP;
  -- Only now: whoever held the locks before wrote an earlier time.
  moment := coalesce(fixed, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
  FOR command IN SELECT e FROM jsonb_array_elements(commands) AS e LOOP
    answer := '[]';
    IF command -> 0 = '0' THEN
      pass := true;
      FOR claim IN SELECT c FROM jsonb_array_elements(command -> 3) AS c LOOP
        SELECT * INTO state FROM limit_state WHERE partition = claim ->> 0;
        used := ingot_limits_v2_left(state.requests, (claim ->> 1)::bigint, moment - state.at);
        spent := ingot_limits_v2_left(state.tokens, (claim ->> 4)::bigint, moment - state.at);
        running := 0;
        IF claim ->> 7 <> '-1' THEN
          DELETE FROM limit_leases WHERE partition = claim ->> 0 AND until <= moment;
          SELECT count(*) INTO running FROM limit_leases WHERE partition = claim ->> 0;
          pass := pass AND running < (claim ->> 7)::bigint;
        END IF;
        pass := pass AND used <= (claim ->> 2)::bigint AND spent <= (claim ->> 5)::bigint;
        answer := answer || jsonb_build_array(used, spent, running);
      END LOOP;
      IF pass THEN
        answer := '[]';
        FOR claim IN SELECT c FROM jsonb_array_elements(command -> 3) AS c LOOP
          UPDATE limit_state SET
            requests = ingot_limits_v2_left(requests, (claim ->> 1)::bigint, moment - at) + (claim ->> 3)::bigint,
            tokens = ingot_limits_v2_left(tokens, (claim ->> 4)::bigint, moment - at) + (claim ->> 6)::bigint,
            at = moment
            WHERE partition = claim ->> 0 RETURNING requests, tokens INTO used, spent;
          IF claim ->> 7 <> '-1' THEN
            INSERT INTO limit_leases VALUES (claim ->> 0, command ->> 1, moment + (command ->> 2)::bigint)
              ON CONFLICT (partition, lease) DO UPDATE SET until = excluded.until;
          END IF;
          answer := answer || jsonb_build_array(used, spent, 0);
        END LOOP;
      END IF;
      answer := jsonb_build_array(pass::int, moment) || answer;
    ELSIF command -> 0 = '1' THEN
      FOR claim IN SELECT c FROM jsonb_array_elements(command -> 3) AS c LOOP
        IF claim -> 3 <> '0' THEN
          UPDATE limit_state SET
            requests = ingot_limits_v2_left(requests, (claim ->> 1)::bigint, moment - at),
            tokens = least(9000000000000000, greatest(0,
              ingot_limits_v2_left(tokens, (claim ->> 2)::bigint, moment - at) + (claim ->> 3)::bigint)),
            at = moment
            WHERE partition = claim ->> 0;
        END IF;
        DELETE FROM limit_leases WHERE partition = claim ->> 0 AND lease = command ->> 1;
      END LOOP;
    ELSIF command -> 0 = '4' THEN
      INSERT INTO limit_leases
        SELECT c ->> 0, e, moment + (command ->> 2)::bigint
          FROM jsonb_array_elements(command -> 3) AS c, jsonb_array_elements_text(c -> 1) AS e
        ON CONFLICT (partition, lease) DO UPDATE SET until = excluded.until;
    ELSIF command -> 0 = '5' THEN
      FOR claim IN SELECT c FROM jsonb_array_elements(command -> 3) AS c LOOP
        elapsed := moment - (command ->> 2)::bigint;
        UPDATE limit_state SET
          requests = greatest(0, ingot_limits_v2_left(requests, (claim ->> 1)::bigint, moment - at)
            - ingot_limits_v2_left((claim ->> 2)::bigint, (claim ->> 1)::bigint, elapsed)),
          tokens = greatest(0, ingot_limits_v2_left(tokens, (claim ->> 3)::bigint, moment - at)
            - ingot_limits_v2_left((claim ->> 4)::bigint, (claim ->> 3)::bigint, elapsed)),
          at = moment
          WHERE partition = claim ->> 0;
        DELETE FROM limit_leases WHERE partition = claim ->> 0 AND lease = command ->> 1;
      END LOOP;
    ELSE
      INSERT INTO limit_nodes VALUES (command ->> 1, moment) ON CONFLICT (node) DO UPDATE SET seen = excluded.seen;
      IF command -> 0 = '3' THEN
        -- Without a wait for locks, which are taken in another order here.
        DELETE FROM limit_nodes WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM limit_nodes WHERE seen <= moment - 3600000000 FOR UPDATE SKIP LOCKED));
        DELETE FROM limit_leases WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM limit_leases WHERE until <= moment LIMIT 10000 FOR UPDATE SKIP LOCKED));
        DELETE FROM limit_state WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM limit_state WHERE at <= moment - 3600000000 LIMIT 10000 FOR UPDATE SKIP LOCKED));
      END IF;
      SELECT jsonb_build_array(count(*)) INTO answer
        FROM limit_nodes WHERE seen > moment - (command ->> 2)::bigint;
    END IF;
    answers := answers || jsonb_build_array(answer);
  END LOOP;
  RETURN answers;
END
$$
"""
