-- Checks what the partition has, each entry against those that it belongs with, and repairs it on request.
-- ARGV: '1' to repair, or ''; the first two bytes of this partition's ids; then, for each session that the adapter
-- cannot decode, its id and the SHA-1 of the header and the body that it has seen.
-- Returns how many sessions and tombstones there are, and for each fault the kind of the entry, its name and the problem.
local repairs, prefix, undecodable = ARGV[1] == '1', ARGV[2], {}
for i = 3, #ARGV, 2 do undecodable[ARGV[i]] = ARGV[i + 1] end
local answer, entries = { 'done', 0 }, 0
local function fault(kind, name, problem)
  answer[#answer + 1] = kind
  answer[#answer + 1] = name
  answer[#answer + 1] = problem
end

-- Sessions that stand, when each id is due, and fields that are removed.
local sessions, due_at, removed, fields = {}, {}, {}, {}
local function remove_field(field) fields[#fields + 1] = field end

-- The player of a session that can be read.
local function readable_player(id, header)
  local body = call('HGET', S, id .. 'b')
  local player = body and player_in(body)
  if not player then return nil end
  if sub(header, 5, 6) == '\1\0' and not pcall(parts_of, header, body) then return nil end
  if undecodable[id] and undecodable[id] == redis.sha1hex(header .. body) then return nil end
  return player
end

local all = call('HKEYS', S)
for _, id in ipairs(all) do
  if #id == 18 and sub(id, 1, 2) == prefix then
    entries = entries + 1
    local found, header, tombstone = pcall(look_up, id)
    local player = found and header and readable_player(id, header)
    if found and tombstone then
      due_at[id] = unpack64(tombstone, 7)
    elseif player then
      due_at[id] = due(header)
      sessions[id] = { id = id, player = player, unlinked = has(header, UNLINKED), touched = touched_at(header) }
      if sub(header, 5, 6) ~= '\1\0' then fault('session', id, 'newer') end
    else
      removed[id] = true
      remove_field(id)
      remove_field(id .. 'b')
      fault('session', id, 'unreadable')
    end
  end
end
for _, field in ipairs(all) do
  local id = sub(field, 1, 18)
  local is_body = #field == 19 and sub(field, 19) == 'b' and sub(field, 1, 2) == prefix
  if is_body and not sessions[id] and not removed[id] then
    remove_field(field)
    fault('body', id, 'dangling')
  elseif field ~= 'c' and not is_body and (#field ~= 18 or sub(field, 1, 2) ~= prefix) then
    remove_field(field)
    fault('field', field, 'unreadable')
  end
end

-- Lists that change, and the sessions that some list names.
local lists, changed, named = {}, {}, {}
local stored = call('HGETALL', P)
for i = 1, #stored, 2 do
  local player, ids = stored[i], stored[i + 1]
  if player ~= '' then
    local kept, dangling = {}, false
    for at = 1, #ids - 17, 18 do
      local id = sub(ids, at, at + 17)
      local session = sessions[id]
      local awaited = now < recovers_until and not due_at[id] and not removed[id]
      if not named[id] and (awaited or session and session.player == player and not session.unlinked) then
        named[id] = true
        kept[#kept + 1] = id
      else
        changed[player] = true
        dangling = dangling or not removed[id]
      end
    end
    lists[player] = kept
    if #ids % 18 ~= 0 or #ids == 0 then
      changed[player] = true
      fault('player', player, 'unreadable')
    elseif dangling then
      fault('player', player, 'dangling')
    end
  end
end
for id, session in pairs(sessions) do
  if not session.unlinked and not named[id] then
    local list = lists[session.player] or {}
    -- Before the first one that was touched later: the last one of a list is what logins return.
    local at = 1
    while list[at] and not (sessions[list[at]] and is_older(session, sessions[list[at]])) do at = at + 1 end
    table.insert(list, at, id)
    lists[session.player] = list
    changed[session.player] = true
    fault('session', id, 'not_indexed')
  end
end

-- Deadlines.
local deadlines, gone = {}, {}
local scores = call('ZRANGE', D, 0, -1, 'WITHSCORES')
for i = 1, #scores, 2 do
  local id, score = scores[i], tonumber(scores[i + 1])
  if id ~= '' then
    if not due_at[id] then
      gone[#gone + 1] = id
      if not removed[id] then fault('deadline', id, 'dangling') end
    elseif due_at[id] == score then
      due_at[id] = nil
    end
  end
end
for id, at in pairs(due_at) do
  deadlines[#deadlines + 1] = at
  deadlines[#deadlines + 1] = id
  fault('deadline', id, 'not_indexed')
end

answer[2] = entries
if not repairs then return answer end
advance()
for _, field in ipairs(fields) do call('HDEL', S, field) end
for player in pairs(changed) do
  local list = lists[player]
  for i, id in ipairs(list) do list[i] = { id = id } end
  write_linked(player, list)
end
for _, id in ipairs(gone) do call('ZREM', D, id) end
call_with_pairs('ZADD', D, deadlines)
return answer
