-- Returns the names of the keys that are lost, and changes nothing.
return { 'done', lost }
