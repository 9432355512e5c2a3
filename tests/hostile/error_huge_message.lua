-- An error with a message as long as strings may be.
-- load: ok
-- call: policy
return function() error(("x"):rep(60000)) end
