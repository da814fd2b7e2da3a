-- The periods of the fleet: heartbeat and lease in ms; nothing before the first registration.
local heartbeat, lease = timing_of()
if not heartbeat then return { 'done' } end
return { 'done', heartbeat, lease }
