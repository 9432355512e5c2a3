-- While true with an empty body.
-- load: ok
-- call: steps
return function() while true do end end
