"""The loop: declare, observe, drift, explain, plan, approve, apply, prove. It knows no domain and no screen."""
