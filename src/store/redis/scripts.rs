//! What a Redis server does at once. A record is one string: its end of life in milliseconds, its
//! version, its value, with a space in between.

use std::sync::LazyLock;

use ::redis::Script;

/// What all scripts about records begin with. A record is there as long as the app's clock says
/// so; the server removes it a minute later, in case its clock is ahead.
const RECORDS: &str = r"
local key, now = KEYS[1], tonumber(ARGV[1])
local raw = redis.call('GET', key)
local ends, version, from
if raw then
  ends, version, from = string.match(raw, '^(%d+) (%d+) ()')
end
local is_live = ends and tonumber(ends) > now
local function put(ends, version, value)
  redis.call('SET', key, ends .. ' ' .. version .. ' ' .. value)
  redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(ends) + 60000))
end
";

/// `now`, end, version, value.
pub(super) static INSERT: LazyLock<Script> = LazyLock::new(|| {
    on_record(
        r"
if is_live then return 0 end
put(ARGV[2], ARGV[3], ARGV[4])
return 1
",
    )
});

/// `now`, end, new version, value, version to replace or nothing.
pub(super) static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    on_record(
        r"
if not is_live then return 0 end
if ARGV[5] ~= '' and ARGV[5] ~= version then return 0 end
put(ARGV[2], ARGV[3], ARGV[4])
return 1
",
    )
});

/// `now`, end.
pub(super) static TOUCH: LazyLock<Script> = LazyLock::new(|| {
    on_record(
        r"
if not is_live then return 0 end
put(ARGV[2], version, string.sub(raw, from))
return 1
",
    )
});

/// `now`.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    on_record(
        r"
if not is_live then return false end
redis.call('DEL', key)
return string.sub(raw, from)
",
    )
});

/// `now`, value.
pub(super) static REMOVE_IF: LazyLock<Script> = LazyLock::new(|| {
    on_record(
        r"
if not is_live or string.sub(raw, from) ~= ARGV[2] then return 0 end
redis.call('DEL', key)
return 1
",
    )
});

/// `now`, end, member. The set lives as long as its last member.
pub(super) static ADD_MEMBER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local key = KEYS[1]
redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1])
redis.call('ZADD', key, ARGV[2], ARGV[3])
local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last[2]) + 60000))
",
    )
});

fn on_record(body: &str) -> Script {
    Script::new(&format!("{RECORDS}{body}"))
}
