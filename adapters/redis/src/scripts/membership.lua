-- Shared by the scripts of the membership; schema.rs says what lies where.
-- Every script first reads all four keys, then checks, then writes: it never stops half-way.
local N, L, E, V = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call, byte, sub = redis.call, string.byte, string.sub
local pack, unpack64 = struct.pack, function(text, at) return (struct.unpack('<I8', text, at)) end

local CHANGES_KEPT, CHANGES_TOLD = 256, 64
local SMALL_FLEET, RENEWALS_PER_TABLE = 128, 8
local LEAVE, LAPSED, EVICTED, SUPERSEDED = '1', '2', '3', '4'
-- An id without a member is remembered for a time. Its entry in E is '~' and the id, as no id is, and its score is
-- when its last incarnation left, above every end of a lease.
local DEPARTED, REMEMBERED_MS, REMEMBERED_MAX = 4503599627370496, 600000, 1000
local NO_TAG = string.rep('0', 16)
-- The longest that ringhold_core::Timing allows, in ms.
local HEARTBEAT_MAX, LEASE_MAX = 60000, 600000

-- The four reads: a key of another type is an error of the server here, before anything is written.
local clock = call('HGET', N, 'c')
local has_leases = call('HEXISTS', L, '')
local has_ends = call('ZSCORE', E, '')
local last_change = call('LINDEX', V, -1)

local function corrupt(what)
  error({ err = 'RINGHOLD_CORRUPT ' .. what })
end

local time, now, lag, cap
do
  local parts = call('TIME')
  time = parts[1] * 1000 + math.floor(parts[2] / 1000)
  if not clock then
    now, lag, cap = 0, 0, 1500
  else
    if #clock ~= 24 or unpack64(clock, 17) > HEARTBEAT_MAX * 3 / 2 then corrupt('the lease clock') end
    cap, lag = unpack64(clock, 17), math.max(time - unpack64(clock, 9), 0)
    now = unpack64(clock, 1) + math.min(lag, cap)
  end
end

-- The head: number and tag of the last change.
local head, head_tag = 0, NO_TAG
if last_change then
  if #last_change < 26 then corrupt('the last change of the membership') end
  head, head_tag = unpack64(last_change, 1), sub(last_change, 9, 24)
end

-- Moves the lease clock on. Every script that may write does so, also when it refuses: it is what a
-- later WAIT waits for.
local function advance()
  call('HSET', N, 'c', pack('<I8I8I8', now, time, cap))
  if has_leases == 0 then call('HSET', L, '', '') end
  if not has_ends then call('ZADD', E, '+inf', '') end
  if not last_change then call('RPUSH', V, pack('<I8', 0) .. NO_TAG .. '00') end
end

-- The tag is mixed from the caller's random bits and everything up to this change: a change that is
-- repeated after a failover, on top of another history, is another revision also under its old number.
local function push(kind, reason, rest, seed)
  head = head + 1
  local change = kind .. reason .. rest
  head_tag = sub(redis.sha1hex(seed .. head_tag .. pack('<I8', head) .. change), 1, 16)
  call('RPUSH', V, pack('<I8', head) .. head_tag .. change)
  call('LTRIM', V, -(CHANGES_KEPT + 1), -1)
end

-- A lease: incarnation in 24 bytes, load in 4, renewals in 4. Where it cannot be read it is made anew of
-- the node's last run, so that it stops nobody and the next renewal mends it.
local function mended(id, lease)
  if not lease or #lease == 32 then return lease end
  local runs = call('HGET', N, 'u' .. id) or ''
  if #runs < 24 then return string.rep('\0', 32) end
  return sub(runs, 1, 8) .. sub(runs, -16) .. string.rep('\0', 8)
end
local function lease_of(id) return id ~= '' and mended(id, call('HGET', L, id)) end
local function incarnation(lease) return sub(lease, 1, 24) end
local function load_of(lease) return sub(lease, 25, 28) end

local function prolong(id, lease_ms) call('ZADD', E, now + lease_ms, id) end

-- Takes a member out and logs why. An id that was superseded has its next member at once; any other is remembered.
local function remove(id, lease, reason, seed)
  call('HDEL', L, id)
  call('ZREM', E, id)
  call('HDEL', N, 'r' .. id)
  if reason ~= SUPERSEDED then call('ZADD', E, DEPARTED + now, '~' .. id) end
  push('L', reason, incarnation(lease) .. id, seed)
end

-- Drops ids that have been remembered for long enough, or that are too many, the oldest first. Called when nodes
-- were let go.
local function drop_old()
  local old = call('ZCOUNT', E, DEPARTED, DEPARTED + now - REMEMBERED_MS)
  local count = math.max(old, call('ZCOUNT', E, DEPARTED, '(+inf') - REMEMBERED_MAX)
  if count <= 0 then return end
  for _, entry in ipairs(call('ZRANGEBYSCORE', E, DEPARTED, '(+inf', 'LIMIT', 0, count)) do
    call('HDEL', N, 'u' .. sub(entry, 2))
    call('ZREM', E, entry)
  end
end

-- Those whose leases have lapsed, the longest lapsed first. The end of a lease that nobody has is swept
-- with them, and is no change.
local function lapsed()
  local list = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', E, '-inf', now)) do
    if id ~= '' then list[#list + 1] = { id, lease_of(id) } end
  end
  return list
end

local function reap(list, seed)
  for _, member in ipairs(list) do
    if member[2] then
      remove(member[1], member[2], LAPSED, seed)
    else
      call('ZREM', E, member[1])
    end
  end
  if #list > 0 then drop_old() end
end

-- Heartbeat and lease; nothing where there is no timing, or one that cannot be read: the third value.
local function look_at_timing()
  local timing = call('HGET', N, 't')
  if not timing then return nil, nil, false end
  if #timing ~= 16 then return nil, nil, true end
  local heartbeat, lease = unpack64(timing, 1), unpack64(timing, 9)
  if heartbeat < 1 or heartbeat > HEARTBEAT_MAX or lease > LEASE_MAX then return nil, nil, true end
  return heartbeat, lease, false
end

local function timing_of()
  local heartbeat, lease, unreadable = look_at_timing()
  if unreadable then corrupt('the timing') end
  return heartbeat, lease
end

local function fleet_len() return math.max(call('HLEN', L) - 1, 0) end

-- The ids of all members, and their leases in the same order.
local function all_leases()
  local ids, leases = {}, {}
  local flat = call('HGETALL', L)
  for i = 1, #flat, 2 do
    local id = flat[i]
    if id ~= '' then
      ids[#ids + 1] = id
      leases[#leases + 1] = mended(id, flat[i + 1])
    end
  end
  return ids, leases
end

-- Number and tag of the head, how long nobody moved the clock, and of each member its id, record, load
-- and whether its lease has lapsed. Few calls for many members: each costs as much as some hundred bytes.
local function membership(lag)
  local answer = { head, head_tag, lag }
  local ids, leases = all_leases()
  local has_lapsed = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', E, '-inf', now)) do has_lapsed[id] = true end
  for first = 1, #ids, 500 do
    local last, fields = math.min(first + 499, #ids), {}
    for i = first, last do fields[i - first + 1] = 'r' .. ids[i] end
    local records = call('HMGET', N, unpack(fields))
    for i = first, last do
      local at = #answer
      answer[at + 1], answer[at + 2] = ids[i], records[i - first + 1] or ''
      answer[at + 3], answer[at + 4] = load_of(leases[i]), has_lapsed[ids[i]] and 1 or 0
    end
  end
  return answer
end

-- The changes since a resume point, at most `limit`; nil where it is not one of these, or too far behind.
local function changes_after(number, tag, limit)
  local behind = head - number
  if behind < 0 or behind > math.min(limit.reset, CHANGES_KEPT) then return nil end
  local entries = call('LRANGE', V, -(behind + 1), math.min(limit.page - behind, 0) - 1)
  -- Before the first write there is no entry yet, not even the base.
  if #entries == 0 and number == 0 and tag == NO_TAG then return {} end
  local base = entries[1]
  local expected = math.min(behind, limit.page) + 1
  if #entries ~= expected or #base < 26 then return nil end
  if unpack64(base, 1) ~= number or sub(base, 9, 24) ~= tag then return nil end
  table.remove(entries, 1)
  return entries
end

-- What all members carry: id, incarnation, load of each.
local function load_table()
  local answer = {}
  local ids, leases = all_leases()
  for i, id in ipairs(ids) do
    local at = #answer
    answer[at + 1], answer[at + 2], answer[at + 3] = id, incarnation(leases[i]), load_of(leases[i])
  end
  return answer
end

-- The state of the load table: its version, when it was last told, whether a change waits.
local function loads_state()
  local state = call('HGET', N, 'h')
  if not state or #state ~= 17 then return 0, nil, false end
  return unpack64(state, 1), unpack64(state, 9), byte(state, 17) == 1
end
